"""The faults: each is a context that breaks something real when it begins, and mends it when it ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from faults import line_faults, redis_faults, sentinel_faults, server_faults, store_faults
from faults.system import SystemUnderTest

Injection = Callable[[SystemUnderTest, random.Random], AbstractAsyncContextManager[str]]
"""Breaks something that it chooses at random, and yields what that was."""

_EVERYWHERE: tuple[Injection, ...] = (
    server_faults.a_killed_server,
    server_faults.a_killed_relay,
    server_faults.a_paused_server,
    redis_faults.a_killed_valkey,
    redis_faults.a_paused_valkey,
    redis_faults.a_flush,
    redis_faults.an_eviction,
    redis_faults.a_forgery,
    redis_faults.a_lost_entry,
    redis_faults.a_lost_past,
    line_faults.a_bad_line_to_redis,
)
_ON_SQLITE: tuple[Injection, ...] = (store_faults.a_locked_sqlite, server_faults.a_full_disk)
_ON_POSTGRES: tuple[Injection, ...] = (
    store_faults.a_killed_postgres,
    store_faults.a_paused_postgres,
    line_faults.a_bad_line_to_postgres,
    line_faults.crossed_lines,
    line_faults.an_island,
)
_WITH_WORKERS: tuple[Injection, ...] = (
    server_faults.a_killed_worker,
    server_faults.a_paused_worker,
    server_faults.a_roll,
    server_faults.a_killed_parent,
)
_WITH_SENTINELS: tuple[Injection, ...] = (
    sentinel_faults.a_killed_master,
    sentinel_faults.a_paused_master,
    sentinel_faults.a_planned_failover,
)


def possible(system: SystemUnderTest) -> list[Injection]:
    """Return the faults that are possible in a system; those of its kind are twice as likely as others."""
    clock = [server_faults.a_clock_step] if any(node.has_own_clock for node in system.nodes) else []
    workers = _WITH_WORKERS if system.kind.workers > 1 else ()
    sentinels = _WITH_SENTINELS if system.kind.has_sentinels else ()
    store = _ON_SQLITE if system.postgres is None else _ON_POSTGRES
    return [*_EVERYWHERE, *store, *clock, *2 * workers, *2 * sentinels]
