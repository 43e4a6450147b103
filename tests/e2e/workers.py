"""Looking at the workers of a service, by what /health tells of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from e2e.service import ServeProcess


async def until(good: Callable[[], bool]) -> None:
    """Look until it is so, without holding up the loop."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(good):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


def fresh(service: ServeProcess) -> list[int]:
    """The process ids of those that say they are."""
    return [row["pid"] for row in service.workers() if row["fresh"]]


def are_two_without(service: ServeProcess, *gone: int) -> bool:
    """Whether there are two, both fresh, and none of those that have to be gone."""
    rows = service.workers()
    return len(rows) == 2 and all(row["fresh"] and row["pid"] not in gone for row in rows)


async def both(service: ServeProcess) -> list[int]:
    """Wait until there are two, both fresh, and return their process ids."""
    await until(lambda: are_two_without(service))
    return [row["pid"] for row in service.workers()]
