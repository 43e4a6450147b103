"""The kinds of systems that faults are injected into, and the kind of each system by its number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """How many servers a system has, with how many workers each, and whether sentinels watch its Valkey."""

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
    """Return the kind of a system by its number: two of each kind in turn, one on each store."""
    return KINDS[index // 2 % len(KINDS)]


def has_own_clock(index: int) -> bool:
    """Return whether the first server of a system has a clock that can be set.

    The library that does it slows the server down: with two workers it would be too slow for the bound.
    """
    return index % 4 in {0, 3} and kind_of(index).workers == 1
