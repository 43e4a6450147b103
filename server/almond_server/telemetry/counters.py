"""What the path of Verify notes: integers and lists, cheap to add to, which `flush` brings to Prometheus.

Counters and histograms take locks and, where several processes share them, writes to a file: for a call some
five to ten microseconds; a fraction of that when many are told one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

_MAX_BUFFERED: Final = 200
"""Durations that are kept: telling them takes less than a millisecond."""


class BufferedCounter:
    """A count; whoever counts raises `count` by one."""

    __slots__ = ("_counter", "_flushed", "count")

    def __init__(self, counter: Counter) -> None:
        """Take the counter that is behind it; `tally` makes one for each."""
        self._counter = counter
        self._flushed = 0
        self.count = 0

    def flush(self) -> None:
        """Tell the counter what was counted since it was told last."""
        count = self.count
        self._counter.inc(count - self._flushed)
        self._flushed = count


class BufferedHistogram:
    """Durations of one sort of thing."""

    __slots__ = ("_durations", "_histogram")

    def __init__(self, histogram: Histogram) -> None:
        """Take the histogram that is behind it; `timings` makes one for each."""
        self._histogram = histogram
        self._durations: list[float] = []

    def add(self, seconds: float) -> None:
        """Note one."""
        self._durations.append(seconds)
        if len(self._durations) >= _MAX_BUFFERED:
            self.flush()

    def flush(self) -> None:
        """Tell the histogram what was noted since it was told last."""
        durations, self._durations = self._durations, []
        for seconds in durations:
            self._histogram.observe(seconds)


_COUNTERS: Final[dict[Counter, BufferedCounter]] = {}
_HISTOGRAMS: Final[dict[Histogram, BufferedHistogram]] = {}


def buffered_counter(counter: Counter) -> BufferedCounter:
    """Return the one tally of a counter, which has its labels."""
    return _COUNTERS.setdefault(counter, BufferedCounter(counter))


def buffered_histogram(histogram: Histogram) -> BufferedHistogram:
    """Return the one place for the durations of a histogram, which has its labels."""
    return _HISTOGRAMS.setdefault(histogram, BufferedHistogram(histogram))


def flush() -> None:
    """Tell all counters and histograms."""
    for counter in _COUNTERS.values():
        counter.flush()
    for histogram in _HISTOGRAMS.values():
        histogram.flush()
