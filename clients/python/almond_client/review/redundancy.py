"""Finds the caveats of a token that contradict each other, and those that add nothing to the others.

Caveats that are about the same are asked the same questions, one bit each: what a caveat permits is a set of
bits, what several permit together is its intersection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from almond_core import caveats
from almond_core.caveats import PERMITS, Caveat
from almond_core.masks import ALL
from almond_core.model import Access, Circumstances, Source

Question = tuple[Access, Circumstances]

CONDITIONS: Final = (caveats.Valid, caveats.Source, caveats.Attribute, caveats.Audience, caveats.Ip)
"""The caveats about the circumstances of an access, not about what is accessed."""

_PLAIN: Final = Access(org="another", actions=ALL)
_ADDRESS: Final = "192.0.2.1"


class CaveatGroup:
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
        return pairs or [f"{number_list(self._permitted)} can never be met all together"]

    def redundant(self) -> list[int]:
        """Return the numbers of those that deny nothing that the others permit; the later ones of equals."""
        kept = dict(self._permitted)
        for number in sorted(kept, reverse=True)[:-1] if 1 in kept else sorted(kept, reverse=True):
            others = [bits for other, bits in kept.items() if other != number]
            if others and not self._meet(others) & ~kept[number]:
                del kept[number]
        return [number for number in self._permitted if number not in kept]

    def _meet(self, bits: Iterable[int]) -> int:
        return reduce(lambda left, right: left & right, bits, self._all)


def condition_groups(known: dict[int, Caveat], now: int) -> list[CaveatGroup]:
    """Return the groups of the conditions among numbered caveats, asked at `now` (unix seconds)."""
    groups = []
    for kind, asked in _CONDITION_QUESTIONS.items():
        mine: dict[int, Caveat] = {n: each for n, each in known.items() if isinstance(each, kind)}
        # Attributes of different keys are about different things.
        keys = dict.fromkeys(getattr(each, "key", "") for each in mine.values())
        parts: list[dict[int, Caveat]] = [
            {number: each for number, each in mine.items() if getattr(each, "key", "") == key} for key in keys
        ]
        groups += [CaveatGroup(part, asked(list(part.values()), now)) for part in parts]
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
    return [(_PLAIN, Circumstances(now, caller_subject=name)) for name in sorted(services)]


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


def number_list(numbers: Iterable[int]) -> str:
    """Write numbers of caveats for people: `2, 5`."""
    return ", ".join(map(str, numbers))
