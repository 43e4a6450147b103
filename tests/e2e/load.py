"""Clients that ask and mint without a pause, each on a connection of its own, and keep what went wrong."""

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
"""What a call may take: the machine is shared, and slow is not lost."""
_PAUSE_SECONDS = 0.01
"""Between two calls of a client: new workers need some of the machine too."""


class OwnConnection(AsyncClient):
    """As the client opens it, but for a connection that it shares with no other client of the process."""

    async def __aenter__(self) -> Self:
        options = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        self._use(grpc.aio.insecure_channel(self._address, options=options))
        return self


@dataclass
class Load:
    """What the clients got."""

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
    """Ask for as long as the block lasts: half of the clients keep their connection, half renew it always."""
    got, stopping = Load(), asyncio.Event()

    async def keep() -> None:
        async with OwnConnection(address, token) as client:
            number = 0
            while not stopping.is_set():
                number += 1
                await _count(got, _ask(client, token) if number % 4 else _mint(client))

    async def renew() -> None:
        while not stopping.is_set():
            async with OwnConnection(address, token) as client:
                await _count(got, _ask(client, token))

    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(renew() if number % 2 else keep())
        try:
            await got.until(clients)
            yield got
        finally:
            stopping.set()


async def _count(got: Load, call: Awaitable[object]) -> None:
    try:
        await call
    except AlmondRpcError as error:
        got.lost.append(f"{error!r}: {error}")
    else:
        got.answers += 1
    await asyncio.sleep(_PAUSE_SECONDS)


async def _ask(client: AsyncClient, token: str) -> None:
    assert await client.is_allowed(token, ACCESS, timeout_seconds=_SECONDS)


async def _mint(client: AsyncClient) -> None:
    order = pb.MintRequest(kind=kind_pb2.Kind(deploy=kind_pb2.DeployKind(app="web")), org="acme")
    await client.mint(order, timeout_seconds=_SECONDS)
