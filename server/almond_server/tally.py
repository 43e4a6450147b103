"""Counts that cost the path of Verify an addition: integers, which `flush` brings to Prometheus's counters.

Those take a lock and, where several processes share them, a write to a file: a microsecond or two each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import Counter


class Tally:
    """A count; whoever counts raises `count` by one."""

    __slots__ = ("_counter", "_told", "count")

    def __init__(self, counter: Counter) -> None:
        """Take the counter that is behind it; `tally` makes one for each."""
        self._counter = counter
        self._told = 0
        self.count = 0

    def flush(self) -> None:
        """Tell the counter what was counted since it was told last."""
        count = self.count
        self._counter.inc(count - self._told)
        self._told = count


_TALLIES: Final[dict[Counter, Tally]] = {}


def tally(counter: Counter) -> Tally:
    """Return the one tally of a counter, which has its labels."""
    return _TALLIES.setdefault(counter, Tally(counter))


def flush() -> None:
    """Tell all counters."""
    for each in _TALLIES.values():
        each.flush()
