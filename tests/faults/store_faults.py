"""Faults of the store: PostgreSQL killed or paused, the SQLite file locked."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator

from faults.system import SystemUnderTest


@contextlib.asynccontextmanager
async def a_killed_postgres(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    assert system.postgres is not None
    await asyncio.to_thread(system.postgres.kill)
    try:
        yield "kill -9 of PostgreSQL"
    finally:
        await asyncio.to_thread(system.postgres.start)


@contextlib.asynccontextmanager
async def a_paused_postgres(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    assert system.postgres is not None
    system.postgres.pause()
    try:
        yield "SIGSTOP of PostgreSQL"
    finally:
        system.postgres.resume()


@contextlib.asynccontextmanager
async def a_locked_sqlite(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    with contextlib.closing(sqlite3.connect(system.location, isolation_level=None, timeout=0.2)) as other:
        with contextlib.suppress(sqlite3.OperationalError):
            other.execute("BEGIN IMMEDIATE")
        try:
            yield "the SQLite file is locked"
        finally:
            with contextlib.suppress(sqlite3.OperationalError):
                other.execute("ROLLBACK")
