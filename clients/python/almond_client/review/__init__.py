"""Reviews a token's caveats for people: what they permit, under which conditions, and what is unusual.

Needs no key and no service. It describes what a token says, not whether the token is genuine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from almond_client.review.probes import MAX_PROBES, AccessTarget, Probe, probes, targets, values_in
from almond_client.review.redundancy import CONDITIONS, CaveatGroup, condition_groups, number_list
from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.errors import CaveatError
from almond_core.masks import ALL, LETTERS, Mask, describe
from almond_core.model import Circumstances
from almond_core.wire import WireCaveat

_YEAR: Final = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Permission:
    """The actions permitted on one target of one org."""

    org: str
    target: str
    mask: Mask

    def __str__(self) -> str:
        return f"{self.target}: {describe(self.mask)}"


@dataclass(frozen=True, slots=True)
class Review:
    """The result of a review. Caveats are numbered from 1. All texts are for people."""

    permissions: tuple[Permission, ...] | None
    """What is permitted where all conditions are met; None if it is too much to list."""

    conditions: tuple[str, ...]
    contradictions: tuple[str, ...]
    warnings: tuple[str, ...]


def review(given: Sequence[WireCaveat], now: int) -> Review:
    """Review a token's caveats as of `now` (unix seconds)."""
    known: dict[int, Caveat] = {}
    unknown: list[str] = []
    for number, each in enumerate(given, start=1):
        try:
            if each.body is None:
                unknown.append(f"{number} is a third-party caveat, and nothing can discharge one yet")
            else:
                known[number] = caveats.parse(each.body)
        except CaveatError as error:
            unknown.append(f"{number} has no meaning here, and so denies everything: {error}")
    about_objects = {number: each for number, each in known.items() if not isinstance(each, CONDITIONS)}
    mentioned = values_in(about_objects.values())
    any_org = mentioned.fresh_id("org")
    probed = _probes([*mentioned.of("org"), any_org], targets(mentioned))
    groups = condition_groups(known, now)
    permissions = None
    if probed:
        objects = CaveatGroup(about_objects, [(probe.access, Circumstances(now)) for probe in probed])
        permissions = _permissions(probed, objects.permitted, any_org)
        groups.insert(0, objects)
    contradictions = [*unknown, *(line for group in groups for line in group.contradictions())]
    redundant = sorted(number for group in groups for number in group.redundant())
    return Review(
        permissions,
        tuple(_conditions(list(known.values()))),
        tuple(contradictions),
        (*_about_time(known, now), *_about_scope(permissions), *_about_redundant(redundant)),
    )


def _probes(orgs: Sequence[str], about: Sequence[AccessTarget]) -> list[Probe]:
    return probes(orgs, about) if len(orgs) * len(about) * len(LETTERS) <= MAX_PROBES else []


def _conditions(known: Sequence[Caveat]) -> list[str]:
    spans = [each for each in known if isinstance(each, caveats.Valid)]
    starts = [each.not_before for each in spans if each.not_before is not None]
    ends = [each.not_after for each in spans if each.not_after is not None]
    time = caveats.Valid(max(starts, default=None), min(ends, default=None))
    others = [each for each in known if isinstance(each, CONDITIONS) and each not in spans]
    return [each.describe() for each in ([time] if starts or ends else []) + others]


def _permissions(probed: Sequence[Probe], permitted: int, any_org: str) -> tuple[Permission, ...]:
    masks: dict[tuple[str, str], Mask] = {}
    targets_by_text: dict[str, AccessTarget] = {}
    for bit, probe in enumerate(probed):
        key = (probe.org, probe.target.text)
        targets_by_text[probe.target.text] = probe.target
        granted = 1 << LETTERS.index(probe.letter) if permitted >> bit & 1 else 0
        masks[key] = Mask(masks.get(key, 0) | granted)
    found = []
    for (org, text), mask in masks.items():
        within = targets_by_text[text].within
        # A target with the same actions as the one that contains it is not listed.
        differs = within is None or masks[org, within.text] != mask
        if differs and (mask or (within is not None and masks[org, within.text])):
            found.append(Permission("any org" if org == any_org else org, text, mask))
    return tuple(found)


def _about_time(known: dict[int, Caveat], now: int) -> list[str]:
    ends = [each.not_after for each in known.values() if isinstance(each, caveats.Valid) and each.not_after]
    if not ends:
        return ["it never expires"]
    return [f"it is valid for another {(min(ends) - now) // _YEAR} years"] if min(ends) - now > _YEAR else []


def _about_scope(permissions: tuple[Permission, ...] | None) -> list[str]:
    everything = {"the org itself", "any app", "any feature", "any storage object"}
    unrestricted = {
        org: {each.target for each in permissions or () if each.org == org and each.mask == ALL}
        for org in dict.fromkeys(each.org for each in permissions or ())
    }
    warnings = [
        f"it may do everything in {org_text(org)}"
        for org, found in unrestricted.items()
        if everything <= found
    ]
    if "any org" in unrestricted and "it may do everything in any org" not in warnings:
        warnings.append("it is valid for any org")
    return warnings


def _about_redundant(redundant: Sequence[int]) -> list[str]:
    if not redundant:
        return []
    verb = "adds" if len(redundant) == 1 else "add"
    return [f"{number_list(redundant)} {verb} nothing: the others are as strict already"]


def org_text(org: str) -> str:
    """Return the org of a permission as text: `any org`, or `org ORG`."""
    return org if org == "any org" else f"org {org}"
