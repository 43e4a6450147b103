"""The port of the clock."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """A source of time, which tests replace by one that they set."""

    def now_ms(self) -> int:
        """Return wall time in unix milliseconds. For `valid` caveats and issue times only."""
        ...

    def monotonic(self) -> float:
        """Return monotonic time in seconds, which also advances while the machine sleeps. For ages."""
        ...
