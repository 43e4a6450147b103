"""Reads a watch in the background and records its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from almond.v1 import revocation_service_pb2 as pb
from almond_client import AlmondRpcError, AsyncClient
from almond_client.watch import Event
from support.orders import org_wide
from support.service import Almond
from support.waiting import eventually

NOW = pb.WatchRevocationsRequest(from_now=pb.FromNow())
SNAPSHOT = pb.WatchRevocationsRequest(snapshot=pb.FromSnapshot())


class Listener:
    """A watch that is read in the background, with the events and breaks so far."""

    def __init__(self, client: AsyncClient, request: pb.WatchRevocationsRequest) -> None:
        self.breaks: list[AlmondRpcError] = []
        self.watch = watch = client.watch(request, on_break=self.breaks.append)
        self.requests: list[pb.WatchRevocationsRequest] = []
        """The request of each stream."""
        open_stream = watch._open_stream

        def recorded(request: pb.WatchRevocationsRequest) -> Any:
            self.requests.append(request)
            return open_stream(request)

        watch._open_stream = recorded
        self.events: list[Event] = []
        self.ages: list[float] = []
        self._received = asyncio.Condition()

    async def run(self) -> None:
        async for event in self.watch:
            async with self._received:
                self.events.append(event)
                if isinstance(event, pb.Heartbeat):
                    self.ages.append(self.watch.age())
                self._received.notify_all()

    @property
    def changes(self) -> list[pb.RevocationChange]:
        return [each for each in self.events if isinstance(each, pb.RevocationChange)]

    @property
    def ids(self) -> list[str]:
        return [entry.token_id for each in self.changes for entry in each.withdrawals]

    async def wait_for(self, kind: type[Event], more: int = 1) -> None:
        """Wait for further events of a kind."""

        def count() -> int:
            return sum(isinstance(each, kind) for each in self.events)

        async with asyncio.timeout(20), self._received:
            wanted = count() + more
            await self._received.wait_for(lambda: count() >= wanted)

    async def wait_until_stale(self) -> None:
        async def is_fresh() -> bool:
            return self.watch.is_fresh

        await eventually(is_fresh, lambda fresh: not fresh, 10)

    async def wait_for_changes(self, count: int) -> None:
        """Wait until there are that many changes."""
        async with asyncio.timeout(20), self._received:
            await self._received.wait_for(lambda: len(self.changes) >= count)


@asynccontextmanager
async def listening(
    address: str, token: str, request: pb.WatchRevocationsRequest = NOW
) -> AsyncIterator[Listener]:
    async with AsyncClient(address, token) as client:
        listener = Listener(client, request)
        running = asyncio.create_task(listener.run())
        try:
            await asyncio.wait(
                {running, asyncio.create_task(listener.wait_for(pb.Heartbeat))}, return_when="FIRST_COMPLETED"
            )
            yield listener
            assert not running.done(), running.exception()
        finally:
            running.cancel()
            await asyncio.wait({running})


async def revoked(service: Almond, count: int) -> list[str]:
    """Mint and revoke some tokens, and return their ids."""
    token_ids = [(await service.mint(org_wide())).record.id for _ in range(count)]
    for each in token_ids:
        await service.revoke(token_id=each)
    return token_ids
