"""Clients that verify and mint all the time, each on a connection of its own, and keep every error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Self

import grpc

from almond.v1 import access_pb2, kind_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client import AlmondRpcError, AsyncClient
from almond_client.channel import OPTIONS

ACCESS = access_pb2.Access(org="acme", app="web", actions="r")
_SECONDS = 20.0
"""How long a call may take: on a shared machine a slow call is not a lost one."""
_PAUSE_SECONDS = 0.01
"""Seconds between two calls of a client, so that new workers get some of the machine."""


class OwnConnection(AsyncClient):
    """A client whose connection is not shared with the other clients of the process."""

    async def __aenter__(self) -> Self:
        options = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        self._use(grpc.aio.insecure_channel(self._address, options=options))
        return self


@dataclass
class Load:
    """The number of answers, and the errors of calls that were lost."""

    answers: int = 0
    lost: list[str] = field(default_factory=list)

    async def until(self, more: int) -> None:
        """Wait until there are so many more answers."""
        wanted = self.answers + more
        async with asyncio.timeout(60):
            while self.answers < wanted:  # noqa: ASYNC110 - a test waits for a condition
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def load(address: str, token: str, clients: int = 8) -> AsyncIterator[Load]:
    """Call while the block lasts: half of the clients keep their connection, half open one for every call."""
    result, stopping = Load(), asyncio.Event()

    async def keep() -> None:
        async with OwnConnection(address, token) as client:
            number = 0
            while not stopping.is_set():
                number += 1
                await _count(result, _verify(client, token) if number % 4 else _mint(client))

    async def renew() -> None:
        while not stopping.is_set():
            async with OwnConnection(address, token) as client:
                await _count(result, _verify(client, token))

    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(renew() if number % 2 else keep())
        try:
            await result.until(clients)
            yield result
        finally:
            stopping.set()


async def _count(result: Load, call: Awaitable[object]) -> None:
    try:
        await call
    except AlmondRpcError as error:
        result.lost.append(f"{error!r}: {error}")
    else:
        result.answers += 1
    await asyncio.sleep(_PAUSE_SECONDS)


async def _verify(client: AsyncClient, token: str) -> None:
    assert await client.is_allowed(token, ACCESS, timeout_seconds=_SECONDS)


async def _mint(client: AsyncClient) -> None:
    order = pb.MintRequest(kind=kind_pb2.Kind(deploy=kind_pb2.DeployKind(app="web")), org="acme")
    await client.mint(order, timeout_seconds=_SECONDS)
