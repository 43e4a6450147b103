"""How long the event loop stands still: on the clock, and by the CPU time of its thread, in milliseconds."""

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
    """Measures, beside what is going on, the longest time that the loop does nothing else.

    And how many were long, of how many: other work on the machine is in single ones, whatever is measured.
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
        """Take note of a stop that began at two times; return those at which the next one begins."""
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
    """Measure the longest of equal turns, of about 0.5 ms each, that touch no memory: noise and no more."""
    stops, began = Stops(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(20_000):
            pass
        stops.note(wall, cpu)
    return stops.figures


def fresh_stop(size: int) -> tuple[float, float, int, int]:
    """Measure the longest of turns that each touch 256 KiB of new memory, `size` bytes in all."""
    stops, taken = Stops(), list[mmap.mmap]()
    for _ in range(size // _FRESH_BYTES):
        wall, cpu = time.perf_counter(), time.thread_time()
        taken.append(mmap.mmap(-1, _FRESH_BYTES))
        for at in range(0, _FRESH_BYTES, mmap.PAGESIZE):
            taken[-1][at] = 1
        stops.note(wall, cpu)
    return stops.figures
