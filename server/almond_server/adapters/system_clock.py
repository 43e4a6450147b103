"""The machine's clocks."""

from __future__ import annotations

import time
from typing import Final

# Where the system has it, this clock also advances while the machine sleeps: the view ages then too.
_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """Implements `clock.Clock`."""

    def now_ms(self) -> int:
        """Return wall time in unix milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return monotonic time in seconds."""
        return time.clock_gettime(_BOOTTIME)
