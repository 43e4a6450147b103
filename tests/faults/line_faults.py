"""Faults of the lines between servers, Redis and the store."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator

from faults.line import Line
from faults.system import SystemUnderTest


@contextlib.asynccontextmanager
async def a_bad_line_to_redis(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    nodes = chance.sample(system.nodes, chance.randint(1, len(system.nodes)))
    how = [_break(node.redis, chance) for node in nodes]
    try:
        yield f"Redis and servers {[node.index for node in nodes]}: {', '.join(how)}"
    finally:
        for node in nodes:
            node.redis.heal()


@contextlib.asynccontextmanager
async def a_bad_line_to_postgres(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    nodes = chance.sample(system.nodes, chance.randint(1, len(system.nodes)))
    stores = [(node, node.store) for node in nodes if node.store is not None]
    how = [_break(store, chance) for _, store in stores]
    try:
        yield f"store and servers {[node.index for node, _ in stores]}: {', '.join(how)}"
    finally:
        for _, store in stores:
            store.heal()


@contextlib.asynccontextmanager
async def crossed_lines(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    """One server reaches only Redis, another one only the store."""
    blind, deaf = chance.sample(system.nodes, 2)
    if blind.store is not None:
        blind.store.cut()
    deaf.redis.cut()
    try:
        yield f"server {blind.index} reaches only Redis, server {deaf.index} only the store"
    finally:
        if blind.store is not None:
            blind.store.heal()
        deaf.redis.heal()


@contextlib.asynccontextmanager
async def an_island(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    node = chance.choice(system.nodes)
    lines = [line for line in (node.redis, node.store) if line is not None]
    how = chance.choice([Line.cut, Line.half_open])
    for line in lines:
        how(line)
    try:
        yield f"server {node.index} reaches neither Redis nor the store"
    finally:
        for line in lines:
            line.heal()


def _break(line: Line, chance: random.Random) -> str:
    how = chance.choice(["cut", "late", "half open"])
    match how:
        case "cut":
            line.cut()
        case "late":
            line.delay(chance.uniform(0.01, 1.0))
        case _:
            line.half_open()
    return how
