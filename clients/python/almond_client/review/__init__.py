"""Reviews a token's caveats for people: what they permit, under which conditions, and what is unusual.

Needs no key and no service. It describes what a token says, not whether the token is genuine. All that it
states is true of every access: a review is made of statements first, which are put into words afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from almond_client.review.permissions import Permission, may_everything, org_text, permissions_of
from almond_client.review.probes import probes
from almond_client.review.redundancy import CONDITIONS, CaveatGroup, Contradiction, condition_groups
from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.caveats.verdict import both
from almond_core.errors import CaveatError
from almond_core.model import Circumstances
from almond_core.wire import WireCaveat

__all__ = ["Contradiction", "Permission", "Review", "adds_nothing", "meaning", "org_text", "review", "step"]

_YEAR: Final = 366 * 86_400
_THIRD_PARTY: Final = "is a third-party caveat, which nothing can discharge yet"


@dataclass(frozen=True, slots=True)
class Review:
    """The result of a review. Caveats are numbered from 1."""

    permissions: tuple[Permission, ...] | None
    """What is permitted where all conditions are met, and nothing else is; None if it is too much to list."""

    conditions: tuple[str, ...]
    contradictions: tuple[Contradiction, ...]
    """Why the token permits nothing, whatever the request; empty if it permits something."""

    redundant: tuple[int, ...]
    """The caveats without all of which the token would permit the same."""

    warnings: tuple[str, ...]


def review(given: Sequence[WireCaveat], now: int) -> Review:
    """Review a token's caveats as of `now` (unix seconds)."""
    known, contradictions = _parsed(given)
    about_objects = {number: each for number, each in known.items() if not isinstance(each, CONDITIONS)}
    probed = probes(list(about_objects.values()))
    groups = condition_groups(known, now)
    objects = CaveatGroup(about_objects, [(probe.access, Circumstances(now)) for probe in probed])
    if probed:
        groups.insert(0, objects)
    contradictions += [each for group in groups for each in group.contradictions()]
    conditions = tuple(_conditions(list(known.values())))
    if contradictions:
        return Review((), conditions, tuple(contradictions), (), ())
    permissions = tuple(permissions_of(probed, objects.permitted)) if probed else None
    return Review(
        permissions,
        conditions,
        (),
        tuple(sorted(number for group in groups for number in group.redundant())),
        (
            *_about_time(list(known.values()), now),
            *_about_scope(permissions or (), may_everything(probed, objects.permitted), conditions),
        ),
    )


def meaning(caveat: WireCaveat) -> str:
    """Return what one caveat of a token permits, in a few words."""
    if caveat.body is None:
        return "a third-party caveat: denies everything, because nothing can discharge it yet"
    try:
        return caveats.parse(caveat.body).describe()
    except CaveatError as error:
        return f"denies everything: {error}"


def step(number: int) -> str:
    """Return what a page that numbers the caveats calls one of them."""
    return f"step {number}"


def adds_nothing(redundant: Sequence[int]) -> str:
    """Return the sentence on redundant caveats, called by their numbers; empty if there are none."""
    if not redundant:
        return ""
    verb = "adds" if len(redundant) == 1 else "add"
    return f"{both([step(each) for each in redundant])} {verb} nothing: the others are as strict already"


def _parsed(given: Sequence[WireCaveat]) -> tuple[dict[int, Caveat], list[Contradiction]]:
    known: dict[int, Caveat] = {}
    found: list[Contradiction] = []
    for number, each in enumerate(given, start=1):
        try:
            if each.body is None:
                found.append(
                    Contradiction((number,), "is a third-party caveat, which nothing can discharge yet")
                )
            else:
                known[number] = caveats.parse(each.body)
        except CaveatError as error:
            found.append(Contradiction((number,), f"has no meaning here, and so denies everything: {error}"))
    if not isinstance(known.get(1), caveats.Org | caveats.Orgs):
        found.append(Contradiction((), "does not begin with an org, as every minted token does"))
    return known, found


def _conditions(known: Sequence[Caveat]) -> list[str]:
    spans = [each for each in known if isinstance(each, caveats.Valid)]
    starts = [each.not_before for each in spans if each.not_before is not None]
    ends = [each.not_after for each in spans if each.not_after is not None]
    time = caveats.Valid(max(starts, default=None), min(ends, default=None))
    others = [each for each in known if isinstance(each, CONDITIONS) and each not in spans]
    return [each.describe() for each in ([time] if starts or ends else []) + others]


def _about_time(known: Sequence[Caveat], now: int) -> list[str]:
    spans = [each for each in known if isinstance(each, caveats.Valid)]
    ends = [each.not_after for each in spans if each.not_after is not None]
    if not ends:
        return ["it never expires"]
    years = (min(ends) - now) // _YEAR
    return (
        [f"it does not expire for another {years} {'year' if years == 1 else 'years'}"] if years > 0 else []
    )


def _about_scope(
    permissions: Sequence[Permission], everything: Sequence[str | None], conditions: Sequence[str]
) -> list[str]:
    where = ", where its conditions are met" if conditions else ""
    warnings = [f"it may do everything in {org_text(org)}{where}" for org in everything]
    if None not in everything and any(each.org is None for each in permissions):
        warnings.append("it is valid for any org")
    return warnings
