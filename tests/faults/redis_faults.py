"""Faults of Valkey, and of what is in it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator

import redis

from faults.feed_forger import Forger
from faults.server_faults import a_paused_server
from faults.system import World


@contextlib.asynccontextmanager
async def a_killed_valkey(world: World, chance: random.Random) -> AsyncIterator[str]:
    await asyncio.to_thread(world.valkey.kill)
    try:
        yield "kill -9 of Valkey, back with an empty memory"
    finally:
        await asyncio.to_thread(world.valkey.mend)


@contextlib.asynccontextmanager
async def a_paused_valkey(world: World, chance: random.Random) -> AsyncIterator[str]:
    await asyncio.to_thread(world.valkey.pause)
    try:
        yield "SIGSTOP of Valkey"
    finally:
        await asyncio.to_thread(world.valkey.mend)


@contextlib.asynccontextmanager
async def a_flush(world: World, chance: random.Random) -> AsyncIterator[str]:
    await asyncio.to_thread(_tell_valkey, world, ["FLUSHALL"])
    yield "FLUSHALL"


@contextlib.asynccontextmanager
async def an_eviction(world: World, chance: random.Random) -> AsyncIterator[str]:
    policy, fillers = (
        chance.choice(["allkeys-random", "allkeys-lru"]),
        [f"filler{each}" for each in range(60)],
    )
    full = ["CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", "3mb"]
    filling = [["SET", filler, "x" * 50_000] for filler in fillers]
    await asyncio.to_thread(_tell_valkey, world, full, *filling)
    try:
        yield f"eviction under maxmemory, {policy}"
    finally:
        await asyncio.to_thread(world.valkey.unlimit)
        await asyncio.to_thread(_tell_valkey, world, ["DEL", *fillers])


@contextlib.asynccontextmanager
async def a_forgery(world: World, chance: random.Random) -> AsyncIterator[str]:
    forging = asyncio.create_task(Forger(world, chance).run())
    try:
        yield "somebody forges changes, heartbeats and snapshots"
    finally:
        forging.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await forging


@contextlib.asynccontextmanager
async def a_lost_entry(world: World, chance: random.Random) -> AsyncIterator[str]:
    """Whatever comes into the stream is taken out again, now and then, before everybody has read it."""

    def lose() -> None:
        with whatever_redis_says():
            client = world.valkey.client
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
async def a_lost_past(world: World, chance: random.Random) -> AsyncIterator[str]:
    """A server is paused, and finds but the newest of what was told meanwhile."""
    async with a_lost_entry(world, chance) as lost, a_paused_server(world, chance) as paused:
        yield f"{paused}, and {lost}"


def _tell_valkey(world: World, *commands: list[str]) -> None:
    with whatever_redis_says():
        client = world.valkey.client
        for command in commands:
            client.execute_command(*command)


@contextlib.contextmanager
def whatever_redis_says() -> Iterator[None]:
    with contextlib.suppress(redis.RedisError, OSError):
        yield
