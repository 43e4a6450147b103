"""Measures how long the event loop is blocked: by the clock and by its thread's CPU time, in milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import mmap
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_FRESH_BYTES: Final = 1 << 18
_LONG_MS: Final = 5.0


class Stops:
    """The longest time for which the loop was blocked while other work ran in it.

    Counts the stops and the long ones too: single stops may be due to other work on the machine.
    """

    def __init__(self) -> None:
        self.wall_ms = self.cpu_ms = 0.0
        self.count = self.long = 0

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        gc.collect()
        task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            await asyncio.sleep(0)
            task.cancel()

    async def _watch(self) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0)
            wall, cpu = self.note(wall, cpu)

    def note(self, wall: float, cpu: float) -> tuple[float, float]:
        """Record a stop by its start on both clocks; returns the start of the next one."""
        now, used = time.perf_counter(), time.thread_time()
        self.count += 1
        self.long += now - wall > _LONG_MS / 1000
        self.wall_ms = max(self.wall_ms, (now - wall) * 1000)
        self.cpu_ms = max(self.cpu_ms, (used - cpu) * 1000)
        return now, used

    @property
    def figures(self) -> tuple[float, float, int, int]:
        return self.wall_ms, self.cpu_ms, self.long, self.count


def idle_stop(seconds: float) -> tuple[float, float, int, int]:
    """Measure the longest of equal steps of about 0.5 ms that touch no memory: this is noise."""
    stops, began = Stops(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(20_000):
            pass
        stops.note(wall, cpu)
    return stops.figures


def fresh_stop(size: int) -> tuple[float, float, int, int]:
    """Measure the longest of steps that each touch 256 KiB of new memory, `size` bytes in all."""
    stops, maps = Stops(), list[mmap.mmap]()
    for _ in range(size // _FRESH_BYTES):
        wall, cpu = time.perf_counter(), time.thread_time()
        maps.append(mmap.mmap(-1, _FRESH_BYTES))
        for at in range(0, _FRESH_BYTES, mmap.PAGESIZE):
            maps[-1][at] = 1
        stops.note(wall, cpu)
    return stops.figures
