"""The system's clocks."""

from __future__ import annotations

import time

from almond_server.adapters.system_clock import SystemClock


def test_wall_time_is_in_milliseconds() -> None:
    assert abs(SystemClock().now_ms() - time.time() * 1000) < 1000


def test_monotonic_time_is_in_seconds_and_goes_on() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    time.sleep(0.05)
    assert 0.04 < clock.monotonic() - before < 2
