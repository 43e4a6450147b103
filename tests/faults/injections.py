"""The faults: each one breaks something for real on entering, and mends it on leaving."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import redis

from faults.forger import Forger
from faults.node import Node
from faults.proxy import FaultProxy
from faults.world import World

Injection = Callable[[World, random.Random], AbstractAsyncContextManager[str]]
"""Breaks something, chosen at random, and yields what it was."""


@contextlib.asynccontextmanager
async def a_killed_server(world: World, chance: random.Random) -> AsyncIterator[str]:
    node = chance.choice(world.nodes)
    node.kill()
    try:
        yield f"kill -9 of server {node.index}"
    finally:
        _start(world, node)


@contextlib.asynccontextmanager
async def a_killed_relay(world: World, chance: random.Random) -> AsyncIterator[str]:
    node = next((node for node in world.nodes if node.is_running and node.is_relay), world.nodes[0])
    node.kill()
    try:
        yield f"kill -9 of the relay, server {node.index}"
    finally:
        _start(world, node)


@contextlib.asynccontextmanager
async def a_paused_server(world: World, chance: random.Random) -> AsyncIterator[str]:
    node = chance.choice(world.nodes)
    node.pause()
    try:
        yield f"SIGSTOP of server {node.index}"
    finally:
        node.resume()


@contextlib.asynccontextmanager
async def a_killed_valkey(world: World, chance: random.Random) -> AsyncIterator[str]:
    world.valkey.kill()
    try:
        yield "kill -9 of Valkey, back with an empty memory"
    finally:
        world.valkey.start()


@contextlib.asynccontextmanager
async def a_paused_valkey(world: World, chance: random.Random) -> AsyncIterator[str]:
    world.valkey.send(signal.SIGSTOP)
    try:
        yield "SIGSTOP of Valkey"
    finally:
        world.valkey.send(signal.SIGCONT)


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
        roomy = ["CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction"]
        await asyncio.to_thread(_tell_valkey, world, roomy, ["DEL", *fillers])


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
        client: Any = world.valkey.client
        with _whatever_valkey_says():
            for key in client.keys("{almond}:*:changes"):
                for entry_id, _ in client.xrevrange(key, count=3)[1:]:
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
async def a_bad_line_to_redis(world: World, chance: random.Random) -> AsyncIterator[str]:
    nodes = chance.sample(world.nodes, chance.randint(1, len(world.nodes)))
    how = [_break(node.redis, chance) for node in nodes]
    try:
        yield f"Redis and servers {[node.index for node in nodes]}: {', '.join(how)}"
    finally:
        for node in nodes:
            node.redis.heal()


@contextlib.asynccontextmanager
async def a_bad_line_to_postgres(world: World, chance: random.Random) -> AsyncIterator[str]:
    nodes = chance.sample(world.nodes, chance.randint(1, len(world.nodes)))
    stores = [(node, node.store) for node in nodes if node.store is not None]
    how = [_break(store, chance) for _, store in stores]
    try:
        yield f"store and servers {[node.index for node, _ in stores]}: {', '.join(how)}"
    finally:
        for _, store in stores:
            store.heal()


@contextlib.asynccontextmanager
async def crossed_lines(world: World, chance: random.Random) -> AsyncIterator[str]:
    """One server sees Redis but not the store, another the store but not Redis."""
    blind, deaf = chance.sample(world.nodes, 2)
    if blind.store is not None:
        blind.store.cut()
    deaf.redis.cut()
    try:
        yield f"server {blind.index} sees only Redis, server {deaf.index} only the store"
    finally:
        if blind.store is not None:
            blind.store.heal()
        deaf.redis.heal()


@contextlib.asynccontextmanager
async def an_island(world: World, chance: random.Random) -> AsyncIterator[str]:
    node = chance.choice(world.nodes)
    lines = [line for line in (node.redis, node.store) if line is not None]
    how = chance.choice([FaultProxy.cut, FaultProxy.half_open])
    for line in lines:
        how(line)
    try:
        yield f"server {node.index} sees neither Redis nor the store"
    finally:
        for line in lines:
            line.heal()


@contextlib.asynccontextmanager
async def a_killed_postgres(world: World, chance: random.Random) -> AsyncIterator[str]:
    assert world.postgres is not None
    await asyncio.to_thread(world.postgres.kill)
    try:
        yield "kill -9 of PostgreSQL"
    finally:
        await asyncio.to_thread(world.postgres.start)


@contextlib.asynccontextmanager
async def a_paused_postgres(world: World, chance: random.Random) -> AsyncIterator[str]:
    assert world.postgres is not None
    world.postgres.pause()
    try:
        yield "SIGSTOP of PostgreSQL"
    finally:
        world.postgres.resume()


@contextlib.asynccontextmanager
async def a_locked_sqlite(world: World, chance: random.Random) -> AsyncIterator[str]:
    with contextlib.closing(sqlite3.connect(world.location, isolation_level=None, timeout=0.2)) as other:
        with contextlib.suppress(sqlite3.OperationalError):
            other.execute("BEGIN IMMEDIATE")
        try:
            yield "the SQLite file is locked"
        finally:
            with contextlib.suppress(sqlite3.OperationalError):
                other.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def a_full_disk(world: World, chance: random.Random) -> AsyncIterator[str]:
    for node in world.nodes:
        node.limit_files(chance.randint(4_096, 200_000))
    try:
        yield "files cannot grow"
    finally:
        for node in world.nodes:
            node.limit_files(-1)


@contextlib.asynccontextmanager
async def a_clock_step(world: World, chance: random.Random) -> AsyncIterator[str]:
    node = next(node for node in world.nodes if node.has_own_clock)
    hours = chance.choice([-1, 1])
    node.step_clock(hours * 3600)
    try:
        yield f"the clock of server {node.index} steps by {hours} h"
    finally:
        node.step_clock(0)


_ON_BOTH: tuple[Injection, ...] = (
    a_killed_server,
    a_killed_relay,
    a_paused_server,
    a_killed_valkey,
    a_paused_valkey,
    a_flush,
    an_eviction,
    a_forgery,
    a_lost_entry,
    a_bad_line_to_redis,
)
_ON_SQLITE: tuple[Injection, ...] = (a_locked_sqlite, a_full_disk)
_ON_POSTGRES: tuple[Injection, ...] = (
    a_killed_postgres,
    a_paused_postgres,
    a_bad_line_to_postgres,
    crossed_lines,
    an_island,
)


def possible(world: World) -> list[Injection]:
    """Return the faults that there can be in a world."""
    clock = [a_clock_step] if any(node.has_own_clock for node in world.nodes) else []
    return [*_ON_BOTH, *clock, *(_ON_SQLITE if world.postgres is None else _ON_POSTGRES)]


def _start(world: World, node: Node) -> None:
    if not node.is_running:
        world.start(node)


def _break(proxy: FaultProxy, chance: random.Random) -> str:
    how = chance.choice(["cut", "late", "half open"])
    match how:
        case "cut":
            proxy.cut()
        case "late":
            proxy.delay(chance.uniform(0.01, 1.0))
        case _:
            proxy.half_open()
    return how


def _tell_valkey(world: World, *commands: list[str]) -> None:
    client: Any = world.valkey.client
    with _whatever_valkey_says():
        for command in commands:
            client.execute_command(*command)


@contextlib.contextmanager
def _whatever_valkey_says() -> Iterator[None]:
    with contextlib.suppress(redis.RedisError, OSError):
        yield
