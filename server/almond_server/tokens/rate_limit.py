"""Limits how often a minute each key may do what needs no caller's token."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from almond_server.errors import RateLimitedError

if TYPE_CHECKING:
    from almond_server.domain.clock import Clock

_WINDOW_SECONDS = 60.0
_MAX_KEYS = 10_000


class Limiter:
    """Counters in fixed windows of one minute, for at most 10,000 keys; the oldest is dropped first."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        """Allow each key `per_minute` times."""
        self._per_minute = per_minute
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def spend(self, *keys: str) -> None:
        """Count one use of every key.

        Raises `RateLimitedError`, and counts nothing, if one of the keys has none left in this minute.
        """
        now = self._clock.monotonic()
        counts = {key: self._window(key, now) for key in keys}
        for began, count in counts.values():
            if count >= self._per_minute:
                wait = began + _WINDOW_SECONDS - now
                raise RateLimitedError(
                    f"Too many calls without a caller's token; try again in {wait:.0f} s or send one.", wait
                )
        for key, (began, count) in counts.items():
            self._windows[key] = (began, count + 1)
            self._windows.move_to_end(key)
        while len(self._windows) > _MAX_KEYS:
            self._windows.popitem(last=False)

    def _window(self, key: str, now: float) -> tuple[float, int]:
        began, count = self._windows.get(key, (now, 0))
        return (began, count) if now - began < _WINDOW_SECONDS else (now, 0)
