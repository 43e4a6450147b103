"""Buffered counters and histograms for the hot path of Verify: `flush` adds what they hold to Prometheus.

A Prometheus counter or histogram takes a lock and, with several worker processes, writes to a file: five to
ten microseconds a call. A buffer is an integer or a list, and flushing many values costs a fraction of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

_MAX_BUFFERED: Final = 200
"""The maximum of buffered durations: flushing them takes less than a millisecond."""


class BufferedCounter:
    """A counter that is incremented by `count += 1`, without a lock."""

    __slots__ = ("_counter", "_flushed", "count")

    def __init__(self, counter: Counter) -> None:
        """Get one by `buffered_counter`: there must be one only for each `counter`."""
        self._counter = counter
        self._flushed = 0
        self.count = 0

    def flush(self) -> None:
        """Add what was counted since the last flush to the Prometheus counter."""
        count = self.count
        self._counter.inc(count - self._flushed)
        self._flushed = count


class BufferedHistogram:
    """A histogram of durations that buffers its observations in a list."""

    __slots__ = ("_durations", "_histogram")

    def __init__(self, histogram: Histogram) -> None:
        """Get one by `buffered_histogram`: there must be one only for each `histogram`."""
        self._histogram = histogram
        self._durations: list[float] = []

    def add(self, seconds: float) -> None:
        """Add one duration; flushes if the buffer is full."""
        self._durations.append(seconds)
        if len(self._durations) >= _MAX_BUFFERED:
            self.flush()

    def flush(self) -> None:
        """Add the buffered durations to the Prometheus histogram."""
        durations, self._durations = self._durations, []
        for seconds in durations:
            self._histogram.observe(seconds)


_COUNTERS: Final[dict[Counter, BufferedCounter]] = {}
_HISTOGRAMS: Final[dict[Histogram, BufferedHistogram]] = {}


def buffered_counter(counter: Counter) -> BufferedCounter:
    """Return the buffer of a Prometheus counter that has its labels; always the same one."""
    return _COUNTERS.setdefault(counter, BufferedCounter(counter))


def buffered_histogram(histogram: Histogram) -> BufferedHistogram:
    """Return the buffer of a Prometheus histogram that has its labels; always the same one."""
    return _HISTOGRAMS.setdefault(histogram, BufferedHistogram(histogram))


def flush() -> None:
    """Flush all buffered counters and histograms."""
    for counter in _COUNTERS.values():
        counter.flush()
    for histogram in _HISTOGRAMS.values():
        histogram.flush()
