"""A clock that only a test moves."""

from __future__ import annotations


class SetClock:
    """A wall clock and a monotonic clock that stand still until `advance`."""

    def __init__(self) -> None:
        self.wall_ms = 1_800_000_000_000
        self.seconds = 1000.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall_ms += round(seconds * 1000)
