"""The kinds of systems that faults are injected into, and which world is of which."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """How many servers there are, of how many workers each, and what has the feed."""

    name: str
    servers: int
    workers: int = 1
    has_sentinels: bool = False


KINDS = (
    Kind("servers", servers=3),
    Kind("workers", servers=2, workers=2),
    Kind("sentinels", servers=2, has_sentinels=True),
    Kind("workers and sentinels", servers=2, workers=2, has_sentinels=True),
)


def kind_of(index: int) -> Kind:
    """Return the kind of the world of this number: two of each in turn, one on each store."""
    return KINDS[index // 2 % len(KINDS)]


def has_own_clock(index: int) -> bool:
    """Whether its first server has a clock that can be set, by a library that slows it down.

    Not where servers have workers: two such on one server are too slow for the bound.
    """
    return index % 4 in {0, 3} and kind_of(index).workers == 1
