"""What a token's caveats come to, for people: what they leave, under which conditions, and what is odd.

Needs no key and no service. It speaks about what a token says, not about whether it is genuine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from almond_client import questions
from almond_client.questions import Thing
from almond_core import caveats
from almond_core.caveats import PERMITS, Caveat
from almond_core.errors import CaveatError
from almond_core.masks import ALL, LETTERS, Mask, describe
from almond_core.model import Access, Circumstances, Source
from almond_core.wire import WireCaveat

Question = tuple[Access, Circumstances]

_YEAR: Final = 366 * 86_400
_PLAIN: Final = Access(org="another", actions=ALL)
_ADDRESS: Final = "192.0.2.1"
_CONDITIONS: Final = (caveats.Valid, caveats.Source, caveats.Attribute, caveats.Audience, caveats.Ip)


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


def of(given: Sequence[WireCaveat], now: int) -> Review:
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
    about = {number: each for number, each in known.items() if not isinstance(each, _CONDITIONS)}
    named = questions.named_by(about.values())
    orgs, things = [*named.of("org"), named.one_more("org")], questions.things(named)
    asked = questions.accesses(orgs, things) if _is_little(orgs, things) else []
    groups = [_Group(about, [(access, Circumstances(now)) for *_, access in asked])] if asked else []
    groups += _condition_groups(known, now)
    left = groups[0].left if asked else 0
    permissions = _permissions(asked, left, named.one_more("org")) if asked else None
    contradictions = [*unknown, *(line for group in groups for line in group.contradictions())]
    spare = sorted(number for group in groups for number in group.spare())
    return Review(
        permissions,
        tuple(_conditions(list(known.values()))),
        tuple(contradictions),
        (*_about_time(known, now), *_about_scope(permissions), *_about_spare(spare)),
    )


def _conditions(known: Sequence[Caveat]) -> list[str]:
    spans = [each for each in known if isinstance(each, caveats.Valid)]
    starts = [each.not_before for each in spans if each.not_before is not None]
    ends = [each.not_after for each in spans if each.not_after is not None]
    time = caveats.Valid(max(starts, default=None), min(ends, default=None))
    others = [each for each in known if isinstance(each, _CONDITIONS) and each not in spans]
    return [each.describe() for each in ([time] if starts or ends else []) + others]


def _is_little(orgs: Sequence[str], things: Sequence[Thing]) -> bool:
    return len(orgs) * len(things) * len(LETTERS) <= questions.MAX_QUESTIONS


class _Group:
    """Caveats that are about the same, and the questions that tell them apart, one bit each."""

    def __init__(self, given: dict[int, Caveat], asked: Sequence[Question]) -> None:
        self._permitted = {
            number: sum(1 << bit for bit, question in enumerate(asked) if each.check(*question) is PERMITS)
            for number, each in given.items()
            if not isinstance(each, caveats.Label)
        }
        self._all = (1 << len(asked)) - 1

    @property
    def left(self) -> int:
        """What all of them permit."""
        return self._meet(self._permitted.values())

    def contradictions(self) -> list[str]:
        """Say why nothing is left, if so."""
        if self.left or not self._permitted:
            return []
        alone = [number for number, bits in self._permitted.items() if not bits]
        if alone:
            return [f"{number} alone permits nothing at all" for number in alone]
        pairs = [
            f"{one} and {other} can never be met together"
            for one, left in self._permitted.items()
            for other, right in self._permitted.items()
            if one < other and not left & right
        ]
        return pairs or [f"{_list(self._permitted)} can never be met all together"]

    def spare(self) -> list[int]:
        """Return the numbers of those that deny nothing that the others permit; the later ones of equals."""
        kept = dict(self._permitted)
        for number in sorted(kept, reverse=True)[:-1] if 1 in kept else sorted(kept, reverse=True):
            others = [bits for other, bits in kept.items() if other != number]
            if others and not self._meet(others) & ~kept[number]:
                del kept[number]
        return [number for number in self._permitted if number not in kept]

    def _meet(self, bits: Iterable[int]) -> int:
        return reduce(lambda left, right: left & right, bits, self._all)


def _condition_groups(known: dict[int, Caveat], now: int) -> list[_Group]:
    groups = []
    for kind, asked in _CONDITION_QUESTIONS.items():
        mine: dict[int, Caveat] = {n: each for n, each in known.items() if isinstance(each, kind)}
        # Attributes of different keys are about different things.
        keys = dict.fromkeys(getattr(each, "key", "") for each in mine.values())
        parts: list[dict[int, Caveat]] = [
            {number: each for number, each in mine.items() if getattr(each, "key", "") == key} for key in keys
        ]
        groups += [_Group(part, asked(list(part.values()), now)) for part in parts]
    return groups


def _times(given: Sequence[Caveat], now: int) -> list[Question]:
    edges = {now}
    for each in given:
        if isinstance(each, caveats.Valid):
            edges |= {time for time in (each.not_before, each.not_after) if time is not None}
    moments = sorted(time for edge in edges for time in (edge - 1, edge) if time >= 0)
    return [(_PLAIN, Circumstances(moment, 0)) for moment in moments]


def _sources(given: Sequence[Caveat], now: int) -> list[Question]:
    sources = [each.source.given() for each in given if isinstance(each, caveats.Source)]
    values = {name: {each.get(name) for each in sources} | {None} for name in ("org", "app", "machine")}
    return [
        (replace(_PLAIN, source=Source(org, app, machine)), Circumstances(now))
        for org in values["org"]
        for app in values["app"]
        for machine in values["machine"]
    ]


def _attributes(given: Sequence[Caveat], now: int) -> list[Question]:
    pairs = {
        (each.key, value) for each in given if isinstance(each, caveats.Attribute) for value in each.values
    }
    return [
        (replace(_PLAIN, attributes={key: value}), Circumstances(now))
        for key, value in sorted(pairs)
        if key != "ip"
    ]


def _askers(given: Sequence[Caveat], now: int) -> list[Question]:
    services = {name for each in given if isinstance(each, caveats.Audience) for name in each.services} | {""}
    return [(_PLAIN, Circumstances(now, asker=name)) for name in sorted(services)]


def _addresses(given: Sequence[Caveat], now: int) -> list[Question]:
    networks: set[IPv4Network | IPv6Network] = {
        network for each in given if isinstance(each, caveats.Ip) for network in each.networks
    }
    edges = {str(edge) for network in networks for edge in (network[0], network[-1])} | {_ADDRESS}
    return [(replace(_PLAIN, attributes={"ip": edge}), Circumstances(now)) for edge in sorted(edges)]


_CONDITION_QUESTIONS: Final[dict[type, Callable[[Sequence[Caveat], int], list[Question]]]] = {
    caveats.Valid: _times,
    caveats.Source: _sources,
    caveats.Attribute: _attributes,
    caveats.Audience: _askers,
    caveats.Ip: _addresses,
}


def _permissions(
    asked: Sequence[tuple[str, Thing, str, Access]], left: int, any_org: str
) -> tuple[Permission, ...]:
    masks: dict[tuple[str, str], Mask] = {}
    of_thing: dict[tuple[str, str], Thing] = {}
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


def _about_spare(spare: Sequence[int]) -> list[str]:
    if not spare:
        return []
    verb = "adds" if len(spare) == 1 else "add"
    return [f"{_list(spare)} {verb} nothing: the others are as strict already"]


def place(org: str) -> str:
    """Say where a permission holds: `any org`, or `org ORG`."""
    """Say where a permission is: `any org`, or `org ORG`."""
    return org if org == "any org" else f"org {org}"


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
