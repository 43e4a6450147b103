"""Faults of servers and their workers."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator

import psutil

from faults.node import Node
from faults.system import SystemUnderTest


@contextlib.asynccontextmanager
async def a_killed_server(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    node = chance.choice(system.nodes)
    with _killed(system, node):
        yield f"kill -9 of server {node.index}"


@contextlib.asynccontextmanager
async def a_killed_relay(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    node = next((node for node in system.nodes if node.relay is not None), system.nodes[0])
    worker = node.worker(node.relay or 0)
    if worker is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
        yield f"kill -9 of the relay, a worker of server {node.index}"
        return
    with _killed(system, node):
        yield f"kill -9 of the relay, server {node.index}"


@contextlib.asynccontextmanager
async def a_paused_server(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    node = chance.choice(system.nodes)
    node.processes.pause()
    try:
        yield f"SIGSTOP of server {node.index}"
    finally:
        node.processes.resume()


@contextlib.asynccontextmanager
async def a_full_disk(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    for node in system.nodes:
        node.processes.limit_files(chance.randint(4_096, 200_000))
    try:
        yield "files cannot grow"
    finally:
        for node in system.nodes:
            node.processes.limit_files(-1)


@contextlib.asynccontextmanager
async def a_clock_step(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    node = next(node for node in system.nodes if node.has_own_clock)
    hours = chance.choice([-1, 1])
    node.step_clock(hours * 3600)
    try:
        yield f"the clock of server {node.index} steps by {hours} h"
    finally:
        node.step_clock(0)


@contextlib.asynccontextmanager
async def a_killed_worker(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    node, worker = _any_worker(system, chance)
    with contextlib.suppress(psutil.NoSuchProcess):
        if worker is not None:
            worker.kill()
    yield f"kill -9 of a worker of server {node.index}"


@contextlib.asynccontextmanager
async def a_paused_worker(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    """Sometimes for so long that the parent kills it."""
    node, worker = _any_worker(system, chance)
    with contextlib.suppress(psutil.NoSuchProcess):
        if worker is not None:
            worker.suspend()
    try:
        await asyncio.sleep(chance.uniform(0, 1.5))
        yield f"SIGSTOP of a worker of server {node.index}"
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            if worker is not None:
                worker.resume()


@contextlib.asynccontextmanager
async def a_roll(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    node = chance.choice(system.nodes)
    node.processes.roll()
    yield f"SIGHUP to server {node.index}"


@contextlib.asynccontextmanager
async def a_killed_parent(system: SystemUnderTest, chance: random.Random) -> AsyncIterator[str]:
    """Its workers drain by themselves, and hold the port until they have ended."""
    node = chance.choice(system.nodes)
    node.processes.kill_parent()
    try:
        yield f"kill -9 of the parent of server {node.index}"
    finally:
        if await system.without_orphans(node):
            system.start(node)


@contextlib.contextmanager
def _killed(system: SystemUnderTest, node: Node) -> Iterator[None]:
    node.processes.kill()
    try:
        yield
    finally:
        system.start(node)


def _any_worker(system: SystemUnderTest, chance: random.Random) -> tuple[Node, psutil.Process | None]:
    node = chance.choice(system.nodes)
    workers = node.processes.workers
    return node, chance.choice(workers) if workers else None
