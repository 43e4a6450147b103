"""What a token's caveats come to, for people: what they leave, under which conditions, and what is odd.

Needs no key and no service. It speaks about what a token says, not about whether it is genuine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from almond_client.review import probes
from almond_client.review.probes import AccessTarget
from almond_client.review.redundancy import CONDITIONS, CaveatGroup, condition_groups, number_list
from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.errors import CaveatError
from almond_core.masks import ALL, LETTERS, Mask, describe
from almond_core.model import Access, Circumstances
from almond_core.wire import WireCaveat

_YEAR: Final = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Permission:
    """What may be done to one thing of one org."""

    org: str
    thing: str
    mask: Mask

    def __str__(self) -> str:
        return f"{self.thing}: {describe(self.mask)}"


@dataclass(frozen=True, slots=True)
class Review:
    """What caveats come to. Caveats are numbered from 1. All texts are for people."""

    permissions: tuple[Permission, ...] | None
    """What may be done where all conditions are met; None if there is too much to say."""

    conditions: tuple[str, ...]
    contradictions: tuple[str, ...]
    warnings: tuple[str, ...]


def review(given: Sequence[WireCaveat], now: int) -> Review:
    """Look at a token's caveats at `now` (unix seconds)."""
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
    about = {number: each for number, each in known.items() if not isinstance(each, CONDITIONS)}
    named = probes.named_by(about.values())
    orgs, things = [*named.of("org"), named.fresh_id("org")], probes.things(named)
    asked = probes.accesses(orgs, things) if _is_little(orgs, things) else []
    groups = [CaveatGroup(about, [(access, Circumstances(now)) for *_, access in asked])] if asked else []
    groups += condition_groups(known, now)
    left = groups[0].left if asked else 0
    permissions = _permissions(asked, left, named.fresh_id("org")) if asked else None
    contradictions = [*unknown, *(line for group in groups for line in group.contradictions())]
    redundant = sorted(number for group in groups for number in group.redundant())
    return Review(
        permissions,
        tuple(_conditions(list(known.values()))),
        tuple(contradictions),
        (*_about_time(known, now), *_about_scope(permissions), *_about_redundant(redundant)),
    )


def _conditions(known: Sequence[Caveat]) -> list[str]:
    spans = [each for each in known if isinstance(each, caveats.Valid)]
    starts = [each.not_before for each in spans if each.not_before is not None]
    ends = [each.not_after for each in spans if each.not_after is not None]
    time = caveats.Valid(max(starts, default=None), min(ends, default=None))
    others = [each for each in known if isinstance(each, CONDITIONS) and each not in spans]
    return [each.describe() for each in ([time] if starts or ends else []) + others]


def _is_little(orgs: Sequence[str], things: Sequence[AccessTarget]) -> bool:
    return len(orgs) * len(things) * len(LETTERS) <= probes.MAX_QUESTIONS


def _permissions(
    asked: Sequence[tuple[str, AccessTarget, str, Access]], left: int, any_org: str
) -> tuple[Permission, ...]:
    masks: dict[tuple[str, str], Mask] = {}
    of_thing: dict[tuple[str, str], AccessTarget] = {}
    for bit, (org, thing, letter, _) in enumerate(asked):
        place = (org, thing.words)
        of_thing[place] = thing
        granted = 1 << LETTERS.index(letter) if left >> bit & 1 else 0
        masks[place] = Mask(masks.get(place, 0) | granted)
    found = []
    for (org, words), mask in masks.items():
        within = of_thing[org, words].within
        is_news = within is None or masks[org, within.words] != mask
        if is_news and (mask or (within is not None and masks[org, within.words])):
            found.append(Permission("any org" if org == any_org else org, words, mask))
    return tuple(found)


def _about_time(known: dict[int, Caveat], now: int) -> list[str]:
    ends = [each.not_after for each in known.values() if isinstance(each, caveats.Valid) and each.not_after]
    if not ends:
        return ["it never expires"]
    return [f"it lives for another {(min(ends) - now) // _YEAR} years"] if min(ends) - now > _YEAR else []


def _about_scope(permissions: tuple[Permission, ...] | None) -> list[str]:
    wide = {"the org itself", "any app", "any feature", "any storage object"}
    everywhere = {
        org: {each.thing for each in permissions or () if each.org == org and each.mask == ALL}
        for org in dict.fromkeys(each.org for each in permissions or ())
    }
    said = [f"it may do everything in {place(org)}" for org, all_of in everywhere.items() if wide <= all_of]
    if "any org" in everywhere and "it may do everything in any org" not in said:
        said.append("it is good for any org")
    return said


def _about_redundant(redundant: Sequence[int]) -> list[str]:
    if not redundant:
        return []
    verb = "adds" if len(redundant) == 1 else "add"
    return [f"{number_list(redundant)} {verb} nothing: the others are as strict already"]


def place(org: str) -> str:
    """Say where a permission holds: `any org`, or `org ORG`."""
    return org if org == "any org" else f"org {org}"
