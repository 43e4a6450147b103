"""Waiting for something to become true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")


async def eventually(
    look: Callable[[], Awaitable[_T]], good: Callable[[_T], bool], seconds: float = 5.0
) -> _T:
    """Look until it is good; fails with what was seen last."""
    async with asyncio.timeout(seconds + 5):
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            seen = await look()
            if good(seen):
                return seen
            assert asyncio.get_running_loop().time() < deadline, f"it stayed {seen!r}"
            await asyncio.sleep(0.02)
