"""The machine's clocks."""

from __future__ import annotations

import time
from typing import Final

# Goes on while the machine sleeps, where there is such a clock: knowledge ages then too.
_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """Implements `ports.Clock`."""

    def now_ms(self) -> int:
        """Return wall time in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return monotonic time in seconds."""
        return time.clock_gettime(_BOOTTIME)
