"""Clients that ask and mint without a pause, each on a connection of its own, and keep what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self

import grpc

from almond.v1 import access_pb2, kind_pb2, token_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from almond_client import AlmondRpcError, AsyncClient
from almond_client.channel import OPTIONS

ACCESS = access_pb2.Access(org="acme", app="web", actions="r")
_SECONDS = 20.0
"""What a call may take: the machine is shared, and slow is not lost."""


class OwnConnection(AsyncClient):
    """As the client opens it, but for a connection that it shares with no other client of the process."""

    async def __aenter__(self) -> Self:
        options = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        self._channel = grpc.aio.insecure_channel(self._address, options=options)
        self._opened = token_service_pb2_grpc.TokenServiceStub(self._channel)
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
            while self.answers < wanted:
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def load(address: str, token: str, clients: int = 8) -> AsyncIterator[Load]:
    """Ask for as long as the block lasts."""
    got, stopping = Load(), asyncio.Event()

    async def ask() -> None:
        async with OwnConnection(address, token) as client:
            number = 0
            while not stopping.is_set():
                number += 1
                try:
                    if number % 4:
                        await client.is_allowed(token, ACCESS, timeout_seconds=_SECONDS)
                    else:
                        await client.mint(_order(), timeout_seconds=_SECONDS)
                except AlmondRpcError as error:
                    got.lost.append(repr(error))
                else:
                    got.answers += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(ask())
        try:
            await got.until(clients)
            yield got
        finally:
            stopping.set()


def _order() -> pb.MintRequest:
    return pb.MintRequest(kind=kind_pb2.Kind(deploy=kind_pb2.DeployKind(app="web")), org="acme")
