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


class Stops:
    """Measures, beside what is going on, the longest time that the loop does nothing else."""

    def __init__(self) -> None:
        self.wall_ms = self.cpu_ms = 0.0

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
        self.wall_ms = max(self.wall_ms, (now - wall) * 1000)
        self.cpu_ms = max(self.cpu_ms, (used - cpu) * 1000)
        return now, used

    @property
    def ms(self) -> tuple[float, float]:
        return self.wall_ms, self.cpu_ms


def idle_stop(seconds: float) -> tuple[float, float]:
    """Measure the longest of equal turns, of about 0.5 ms each, that touch no memory: noise and no more."""
    stops, began = Stops(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(20_000):
            pass
        stops.note(wall, cpu)
    return stops.ms


def fresh_stop(size: int) -> tuple[float, float]:
    """Measure the longest of turns that each touch 256 KiB of new memory, `size` bytes in all."""
    stops, taken = Stops(), list[mmap.mmap]()
    for _ in range(size // _FRESH_BYTES):
        wall, cpu = time.perf_counter(), time.thread_time()
        taken.append(mmap.mmap(-1, _FRESH_BYTES))
        for at in range(0, _FRESH_BYTES, mmap.PAGESIZE):
            taken[-1][at] = 1
        stops.note(wall, cpu)
    return stops.ms
