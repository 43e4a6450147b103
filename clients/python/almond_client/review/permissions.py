"""States what a token permits, as statements that together answer for every access.

The most specific statement about a target counts; what no statement is about is denied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from almond_client.review.probes import SETS_OF_ACTIONS, Probe
from almond_client.review.targets import AccessTarget
from almond_core.masks import Mask, covers, describe
from almond_core.quoting import quote

Masks = tuple[Mask, ...]
"""Sets of actions, none within another. A request may ask for actions of one of them."""

_LARGEST_FIRST: Final = sorted(SETS_OF_ACTIONS, key=int.bit_count, reverse=True)


@dataclass(frozen=True, slots=True)
class Permission:
    """The actions permitted on one target of one org, or (None) of any org."""

    org: str | None
    target: str
    masks: Masks

    def __str__(self) -> str:
        return f"{self.target}: {masks_text(self.masks)}"


def permissions_of(probes: Sequence[Probe], permitted: int) -> list[Permission]:
    """Return the statements for probes, of which the bits in `permitted` are the permitted ones."""
    orgs: dict[str | None, dict[AccessTarget, dict[Mask, bool]]] = {}
    for bit, probe in enumerate(probes):
        answers = orgs.setdefault(probe.org, {}).setdefault(probe.target, {})
        answers[probe.access.actions] = bool(permitted >> bit & 1)
    return [
        Permission(org, target.text, masks)
        for org, answers in orgs.items()
        for target, masks in _listed({target: _largest(each) for target, each in answers.items()})
    ]


def may_everything(probes: Sequence[Probe], permitted: int) -> list[str | None]:
    """Return the orgs in which every probe is permitted; None is any org."""
    all_of: dict[str | None, bool] = {}
    for bit, probe in enumerate(probes):
        all_of[probe.org] = all_of.get(probe.org, True) and bool(permitted >> bit & 1)
    return [org for org, is_everything in all_of.items() if is_everything]


def _largest(answers: Mapping[Mask, bool]) -> Masks:
    found: list[Mask] = []
    for mask in _LARGEST_FIRST:
        is_within = any(covers(larger, mask) for larger in found)
        if not is_within and all(is_ok for asked, is_ok in answers.items() if covers(mask, asked)):
            found.append(mask)
    return tuple(found)


def _listed(masks: Mapping[AccessTarget, Masks]) -> Iterator[tuple[AccessTarget, Masks]]:
    rests = {(target.noun, target.within): granted for target, granted in masks.items() if target.is_rest}
    for target, granted in masks.items():
        above = () if target.within is None else masks[target.within]
        rest = rests.get((target.noun, target.within), above)
        # A target with the actions of what contains it needs no statement, unless one is about "any other".
        if granted != above or rest != above:
            yield target, granted


def masks_text(masks: Masks) -> str:
    """Return sets of actions as text: `read, write`."""
    each = [describe(mask) for mask in masks] or [describe(Mask(0))]
    return each[0] if len(each) == 1 else f"{'; or '.join(each)}; not mixed in one request"


def org_text(org: str | None) -> str:
    """Return the org of a permission as text: `org ORG`, or `any org`."""
    return "any org" if org is None else f"org {quote(org)}"
