"""Finds the caveats of a token that contradict each other, and those that add nothing to the others.

Caveats that restrict the same part of a request are checked against the same samples. What a caveat permits
is a set of bits, one for each sample; what several caveats permit together is the intersection of their sets.
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

Sample = tuple[Access, Circumstances]

CONDITIONS: Final = (caveats.Valid, caveats.Source, caveats.Attribute, caveats.Audience, caveats.Ip)
"""The caveats that restrict the circumstances of an access, not what is accessed."""

_PLAIN: Final = Access(org="another", actions=ALL)
_ADDRESS: Final = "192.0.2.1"


class CaveatGroup:
    """Caveats that restrict the same part of a request, as sets of the samples that each permits."""

    def __init__(self, given: dict[int, Caveat], samples: Sequence[Sample]) -> None:
        self._permitted = {
            number: sum(1 << bit for bit, sample in enumerate(samples) if each.check(*sample) is PERMITS)
            for number, each in given.items()
            if not isinstance(each, caveats.Label)
        }
        self._all = (1 << len(samples)) - 1

    @property
    def permitted(self) -> int:
        """The samples that all caveats of the group permit, one bit each."""
        return self._intersect(self._permitted.values())

    def contradictions(self) -> list[str]:
        """Return sentences on why the group permits nothing; empty if it permits something."""
        if self.permitted or not self._permitted:
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
        """Return the numbers of the caveats that deny nothing that the others permit.

        Of equal caveats the later ones are redundant. Caveat 1 never is: a token must begin with its org.
        """
        needed = dict(self._permitted)
        for number in sorted(needed, reverse=True)[:-1] if 1 in needed else sorted(needed, reverse=True):
            others = [bits for other, bits in needed.items() if other != number]
            if others and not self._intersect(others) & ~needed[number]:
                del needed[number]
        return [number for number in self._permitted if number not in needed]

    def _intersect(self, sets: Iterable[int]) -> int:
        return reduce(lambda left, right: left & right, sets, self._all)


def condition_groups(known: dict[int, Caveat], now: int) -> list[CaveatGroup]:
    """Return the conditions among numbered caveats in groups, with samples around `now` (unix seconds)."""
    groups = []
    for kind, samples_of in _CONDITION_SAMPLES.items():
        of_kind: dict[int, Caveat] = {n: each for n, each in known.items() if isinstance(each, kind)}
        # Attributes with different keys restrict different parts of a request.
        keys = dict.fromkeys(getattr(each, "key", "") for each in of_kind.values())
        parts: list[dict[int, Caveat]] = [
            {number: each for number, each in of_kind.items() if getattr(each, "key", "") == key}
            for key in keys
        ]
        groups += [CaveatGroup(part, samples_of(list(part.values()), now)) for part in parts]
    return groups


def _times(given: Sequence[Caveat], now: int) -> list[Sample]:
    edges = {now}
    for each in given:
        if isinstance(each, caveats.Valid):
            edges |= {time for time in (each.not_before, each.not_after) if time is not None}
    moments = sorted(time for edge in edges for time in (edge - 1, edge) if time >= 0)
    return [(_PLAIN, Circumstances(moment, 0)) for moment in moments]


def _sources(given: Sequence[Caveat], now: int) -> list[Sample]:
    sources = [each.source.given() for each in given if isinstance(each, caveats.Source)]
    values = {name: {each.get(name) for each in sources} | {None} for name in ("org", "app", "machine")}
    return [
        (replace(_PLAIN, source=Source(org, app, machine)), Circumstances(now))
        for org in values["org"]
        for app in values["app"]
        for machine in values["machine"]
    ]


def _attributes(given: Sequence[Caveat], now: int) -> list[Sample]:
    pairs = {
        (each.key, value) for each in given if isinstance(each, caveats.Attribute) for value in each.values
    }
    return [
        (replace(_PLAIN, attributes={key: value}), Circumstances(now))
        for key, value in sorted(pairs)
        if key != "ip"
    ]


def _audiences(given: Sequence[Caveat], now: int) -> list[Sample]:
    services = {name for each in given if isinstance(each, caveats.Audience) for name in each.services} | {""}
    return [(_PLAIN, Circumstances(now, caller_subject=name)) for name in sorted(services)]


def _addresses(given: Sequence[Caveat], now: int) -> list[Sample]:
    networks: set[IPv4Network | IPv6Network] = {
        network for each in given if isinstance(each, caveats.Ip) for network in each.networks
    }
    edges = {str(edge) for network in networks for edge in (network[0], network[-1])} | {_ADDRESS}
    return [(replace(_PLAIN, attributes={"ip": edge}), Circumstances(now)) for edge in sorted(edges)]


_CONDITION_SAMPLES: Final[dict[type, Callable[[Sequence[Caveat], int], list[Sample]]]] = {
    caveats.Valid: _times,
    caveats.Source: _sources,
    caveats.Attribute: _attributes,
    caveats.Audience: _audiences,
    caveats.Ip: _addresses,
}


def number_list(numbers: Iterable[int]) -> str:
    """Return the numbers of caveats as text: `2, 5`."""
    return ", ".join(map(str, numbers))
