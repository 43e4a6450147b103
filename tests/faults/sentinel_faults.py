"""Faults of a master that has a replica and sentinels."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

from faults.system import World
from faults.valkey import WatchedValkey


@contextlib.asynccontextmanager
async def a_killed_master(world: World, chance: random.Random) -> AsyncIterator[str]:
    """Until another one is the master: it comes back as its replica."""
    async with _failed_over(world, _watched(world).kill):
        yield "kill -9 of the master, and a failover"


@contextlib.asynccontextmanager
async def a_paused_master(world: World, chance: random.Random) -> AsyncIterator[str]:
    """Until another one is the master: when it goes on, it still thinks that it is one."""
    async with _failed_over(world, _watched(world).pause):
        yield "SIGSTOP of the master, and a failover"


@contextlib.asynccontextmanager
async def a_planned_failover(world: World, chance: random.Random) -> AsyncIterator[str]:
    async with _failed_over(world, _watched(world).plan_failover):
        yield "a planned failover"


@contextlib.asynccontextmanager
async def _failed_over(world: World, cause: Callable[[], None]) -> AsyncIterator[None]:
    try:
        await _watched(world).fail_over(cause)
        yield
    finally:
        await asyncio.to_thread(world.valkey.mend)


def _watched(world: World) -> WatchedValkey:
    assert isinstance(world.valkey, WatchedValkey)
    return world.valkey
