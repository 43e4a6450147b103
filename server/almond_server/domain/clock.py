"""The port of the clock: time as a value that tests can set."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, as a value that tests can set."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the epoch. For `valid` and issue times only."""
        ...

    def monotonic(self) -> float:
        """Monotonic time in seconds, going on through suspension. For ages."""
        ...
