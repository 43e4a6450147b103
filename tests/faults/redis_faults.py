"""Faults of Valkey and of its contents."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator

import redis

from faults.feed_forger import FeedForger
from faults.server_faults import a_paused_server
from faults.system import SystemUnderTest


@contextlib.asynccontextmanager
async def a_killed_valkey(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    await asyncio.to_thread(system.valkey.kill)
    try:
        yield "kill -9 of Valkey, back with an empty memory"
    finally:
        await asyncio.to_thread(system.valkey.mend)


@contextlib.asynccontextmanager
async def a_paused_valkey(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    await asyncio.to_thread(system.valkey.pause)
    try:
        yield "SIGSTOP of Valkey"
    finally:
        await asyncio.to_thread(system.valkey.mend)


@contextlib.asynccontextmanager
async def a_flush(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    await asyncio.to_thread(_run, system, ["FLUSHALL"])
    yield "FLUSHALL"


@contextlib.asynccontextmanager
async def an_eviction(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    policy, fillers = (
        chance.choice(["allkeys-random", "allkeys-lru"]),
        [f"filler{each}" for each in range(60)],
    )
    full = ["CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", "3mb"]
    filling = [["SET", filler, "x" * 50_000] for filler in fillers]
    await asyncio.to_thread(_run, system, full, *filling)
    try:
        yield f"eviction under maxmemory, {policy}"
    finally:
        await asyncio.to_thread(system.valkey.unlimit)
        await asyncio.to_thread(_run, system, ["DEL", *fillers])


@contextlib.asynccontextmanager
async def a_forgery(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    forging = asyncio.create_task(FeedForger(system, chance).run())
    try:
        yield "an attacker forges changes, heartbeats and snapshots"
    finally:
        forging.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await forging


@contextlib.asynccontextmanager
async def a_lost_entry(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    """New entries are removed from the stream now and then, before every server has read them."""

    def lose() -> None:
        with ignoring_errors():
            client = system.valkey.client
            for key in client.keys("{almond}:*:changes"):
                for entry_id, _ in client.xrevrange(key, count=20)[1:]:
                    client.xdel(key, entry_id)

    async def keep_losing() -> None:
        while True:
            await asyncio.to_thread(lose)
            await asyncio.sleep(chance.uniform(0, 0.02))

    losing = asyncio.create_task(keep_losing())
    try:
        yield "entries are lost from the stream"
    finally:
        losing.cancel()


@contextlib.asynccontextmanager
async def a_lost_past(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    """A server is paused, and finds only the newest of the entries that were added meanwhile."""
    async with a_lost_entry(system, chance) as lost, a_paused_server(system, chance) as paused:
        yield f"{paused}, and {lost}"


def _run(system: SystemUnderTest, *commands: list[str]) -> None:
    with ignoring_errors():
        client = system.valkey.client
        for command in commands:
            client.execute_command(*command)


@contextlib.contextmanager
def ignoring_errors() -> Iterator[None]:
    with contextlib.suppress(redis.RedisError, OSError):
        yield
