"""Reads the state of a service's workers from /health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from e2e.service import ServeProcess


async def until(good: Callable[[], bool]) -> None:
    """Wait until a condition is true, without blocking the event loop."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(good):  # noqa: ASYNC110 - the condition is of another process
            await asyncio.sleep(0.05)


def fresh(service: ServeProcess) -> list[int]:
    """Return the process ids of the workers that report that they are fresh."""
    return [row["pid"] for row in service.workers() if row["fresh"]]


def are_two_without(service: ServeProcess, *ended: int) -> bool:
    """Return whether there are two fresh workers, none with one of these process ids."""
    rows = service.workers()
    return len(rows) == 2 and all(row["fresh"] and row["pid"] not in ended for row in rows)


async def both(service: ServeProcess) -> list[int]:
    """Wait for two fresh workers; returns their process ids."""
    await until(lambda: are_two_without(service))
    return [row["pid"] for row in service.workers()]
