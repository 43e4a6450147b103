"""Finds the caveats of a token that contradict each other, and those that add nothing to the others.

Caveats that restrict the same part of a request are checked against the same samples, which distinguish them.
What a caveat permits is a set of bits, one for each sample; what several caveats permit together is the
intersection of their sets.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice, product
from typing import Final

from almond_core import caveats
from almond_core.caveats import PERMITS, Caveat
from almond_core.caveats.verdict import both
from almond_core.errors import FieldError
from almond_core.masks import ALL
from almond_core.model import MAX_LEEWAY, Access, Circumstances, Source

Sample = tuple[Access, Circumstances]

CONDITIONS: Final = (caveats.Valid, caveats.Source, caveats.Attribute, caveats.Audience, caveats.Ip)
"""The caveats that restrict the circumstances of an access, not what is accessed."""

MAX_SAMPLES: Final = 2_000
"""Above this number of samples for one kind of condition the answers would take too long."""

_PLAIN: Final = Access(org="x", actions=ALL)
_IP: Final = "ip"
_AFTER_MAPPED: Final = IPv6Address("0:0:0:0:1::")
"""The first address above the IPv4-mapped ones, which count as IPv4 and so interrupt an IPv6 network."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Caveats, numbered from 1, because of which the token permits nothing. `why` is a predicate."""

    numbers: tuple[int, ...]
    why: str

    def sentence(self, name: Callable[[int], str]) -> str:
        """Return the sentence, with each caveat called by its `name`."""
        return f"{both([name(each) for each in self.numbers]) or 'the token'} {self.why}"


class CaveatGroup:
    """Caveats that restrict the same part of a request, as sets of the samples that each permits."""

    def __init__(self, given: Mapping[int, Caveat], samples: Sequence[Sample]) -> None:
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

    def contradictions(self) -> list[Contradiction]:
        """Return why the group permits nothing; empty if it permits something."""
        if self.permitted or not self._permitted:
            return []
        alone = [number for number, bits in self._permitted.items() if not bits]
        if alone:
            return [Contradiction((number,), "permits nothing at all") for number in alone]
        never = "can never be met together"
        pairs = [
            Contradiction((one, other), never)
            for one, left in self._permitted.items()
            for other, right in self._permitted.items()
            if one < other and not left & right
        ]
        return pairs or [Contradiction(tuple(self._permitted), never)]

    def redundant(self) -> list[int]:
        """Return the numbers of the caveats that deny nothing that the others permit.

        Of equal caveats the later ones are redundant. Caveat 1 never is: a token must begin with its org.
        """
        needed = dict(self._permitted)
        for number in sorted(needed.keys() - {1}, reverse=True):
            others = [bits for other, bits in needed.items() if other != number]
            if others and not self._intersect(others) & ~needed[number]:
                del needed[number]
        return [number for number in self._permitted if number not in needed]

    def _intersect(self, sets: Iterable[int]) -> int:
        return reduce(lambda left, right: left & right, sets, self._all)


def condition_groups(known: Mapping[int, Caveat], now: int) -> list[CaveatGroup]:
    """Return the conditions among numbered caveats in groups, with samples around `now` (unix seconds).

    A group that would need too many samples is left out.
    """
    parts: dict[Hashable, dict[int, Caveat]] = {}
    for number, each in known.items():
        if isinstance(each, CONDITIONS):
            parts.setdefault(_part(each), {})[number] = each
    sampled = [
        (part, list(islice(_samples(list(part.values()), now), MAX_SAMPLES + 1))) for part in parts.values()
    ]
    return [CaveatGroup(part, samples) for part, samples in sampled if len(samples) <= MAX_SAMPLES]


def _part(caveat: Caveat) -> Hashable:
    """Return the part of a request that a condition restricts: attributes are independent of each other."""
    if isinstance(caveat, caveats.Ip):
        return caveats.Attribute.NAME, _IP
    return caveat.NAME, caveat.key if isinstance(caveat, caveats.Attribute) else ""


def _samples(given: Sequence[Caveat], now: int) -> Iterator[Sample]:
    """Yield samples for the conditions of one part of a request."""
    plain = Circumstances(now)
    match given[0]:
        case caveats.Valid():
            # Whatever two conditions on time permit together, they permit together with the largest leeway.
            yield from ((_PLAIN, Circumstances(moment, MAX_LEEWAY)) for moment in _moments(given, now))
        case caveats.Source():
            yield from ((replace(_PLAIN, source=each), plain) for each in _sources(given))
        case caveats.Audience():
            subjects = dict.fromkeys(
                name for each in given if isinstance(each, caveats.Audience) for name in each.services
            )
            yield from ((_PLAIN, Circumstances(now, caller_subject=name)) for name in subjects)
        case _:
            for key, value in _attributes(given):
                try:
                    yield replace(_PLAIN, attributes={key: value}), plain
                except FieldError:
                    # No request can have this value, such as an `ip` that is no address.
                    continue


def _moments(given: Sequence[Caveat], now: int) -> list[int]:
    spans = [each for each in given if isinstance(each, caveats.Valid)]
    edges = {0, now} | {
        time for each in spans for time in (each.not_before, each.not_after) if time is not None
    }
    early = {edge - MAX_LEEWAY for edge in edges}
    return sorted({time for edge in edges | early for time in (edge - 1, edge) if time >= 0})


def _sources(given: Sequence[Caveat]) -> Iterator[Source]:
    sources = [each.source.given() for each in given if isinstance(each, caveats.Source)]
    values = [
        dict.fromkeys((*(each[name] for each in sources if name in each), None))
        for name in ("org", "app", "machine")
    ]
    return (Source(org, app, machine) for org, app, machine in product(*values))


def _attributes(given: Sequence[Caveat]) -> Iterator[tuple[str, str]]:
    for each in given:
        if isinstance(each, caveats.Attribute):
            yield from ((each.key, value) for value in each.values)
    networks = {network for each in given if isinstance(each, caveats.Ip) for network in each.networks}
    if networks:
        yield from ((_IP, str(address)) for address in _addresses(networks))


def _addresses(networks: Iterable[IPv4Network | IPv6Network]) -> list[IPv4Address | IPv6Address]:
    """Return the first address of every part into which the networks divide all addresses."""
    found: set[IPv4Address | IPv6Address] = {_AFTER_MAPPED}
    for network in networks:
        found.add(network[0])
        if int(network[-1]) < 2**network.max_prefixlen - 1:
            found.add(network[-1] + 1)
    return sorted(found, key=lambda each: (each.version, int(each)))
