"""Faults of a Valkey master that has a replica and sentinels."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

from faults.system import SystemUnderTest
from faults.valkey import WatchedValkey


@contextlib.asynccontextmanager
async def a_killed_master(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    """Until another server is the master: the killed one comes back as its replica."""
    async with _failed_over(system, _watched(system).kill):
        yield "kill -9 of the master, and a failover"


@contextlib.asynccontextmanager
async def a_paused_master(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    """Until another server is the master: the paused one goes on as if it still were one."""
    async with _failed_over(system, _watched(system).pause):
        yield "SIGSTOP of the master, and a failover"


@contextlib.asynccontextmanager
async def a_planned_failover(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    async with _failed_over(system, _watched(system).plan_failover):
        yield "a planned failover"


@contextlib.asynccontextmanager
async def _failed_over(system: SystemUnderTest, cause: Callable[[], None]) -> AsyncIterator[None]:
    try:
        await _watched(system).fail_over(cause)
        yield
    finally:
        await asyncio.to_thread(system.valkey.mend)


def _watched(system: SystemUnderTest) -> WatchedValkey:
    assert isinstance(system.valkey, WatchedValkey)
    return system.valkey
