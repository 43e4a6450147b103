"""Faults of the store."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator

from faults.system import World


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
