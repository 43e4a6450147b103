"""Waiting for a condition, with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until a condition is true."""

    async def holds() -> bool:
        return bool(condition())

    await eventually(holds, bool, seconds)


async def eventually(
    read: Callable[[], Awaitable[_T]], good: Callable[[_T], bool], seconds: float = 5.0
) -> _T:
    """Call `read` until its result is good, and return that; fail with the last result if none is."""
    async with asyncio.timeout(seconds + 5):
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            result = await read()
            if good(result):
                return result
            assert asyncio.get_running_loop().time() < deadline, f"it stayed {result!r}"
            await asyncio.sleep(0.02)
