"""Faults of the ways between servers, Redis and the store."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator

from faults.line import Line
from faults.system import World


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
    how = chance.choice([Line.cut, Line.half_open])
    for line in lines:
        how(line)
    try:
        yield f"server {node.index} sees neither Redis nor the store"
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
