"""Reads WatchRevocations message by message, over a real channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from almond.v1 import revocation_service_pb2 as pb
from almond.v1.revocation_service_pb2_grpc import RevocationServiceStub
from almond_server.app import App
from almond_server.domain.revocations import CutOff, Revocation
from almond_server.domain.stores import Actor
from almond_server.watch import change_log
from support.refusals import Refusal, read_refusal
from support.service import Almond, bearer

SECONDS = 10.0
SNAPSHOT = pb.WatchRevocationsRequest(snapshot=pb.FromSnapshot())


def now(**more: Any) -> pb.WatchRevocationsRequest:
    return pb.WatchRevocationsRequest(from_now=pb.FromNow(), **more)


NOW = now()


def after(revision: str, **more: Any) -> pb.WatchRevocationsRequest:
    return pb.WatchRevocationsRequest(after_revision=revision, **more)


@dataclass(frozen=True)
class Stream:
    """A WatchRevocations call that has started."""

    call: Any
    started: pb.WatchStarted

    async def next(self) -> pb.WatchRevocationsResponse:
        """Return the next message."""
        async with asyncio.timeout(SECONDS):
            message = await self.call.read()
        assert message is not grpc.aio.EOF, "the stream ended"
        found: pb.WatchRevocationsResponse = message
        return found

    async def heartbeat(self) -> pb.Heartbeat:
        """Return the next heartbeat; skips other messages."""
        async with asyncio.timeout(SECONDS):
            while True:
                message = await self.next()
                if message.HasField("heartbeat"):
                    return message.heartbeat

    async def changes(self, count: int) -> list[pb.RevocationChange]:
        """Return the next changes, or parts of them."""
        found: list[pb.RevocationChange] = []
        async with asyncio.timeout(SECONDS):
            while len(found) < count:
                found += (await self.next()).changes.changes
        assert len(found) == count
        return found

    async def until(self, revision: str) -> list[pb.RevocationChange]:
        """Return all changes up to a revision."""
        found: list[pb.RevocationChange] = []
        async with asyncio.timeout(SECONDS):
            while not found or found[-1].revision != revision:
                found += (await self.next()).changes.changes
        return found

    async def snapshot(self) -> pb.SnapshotChunk:
        """Return all chunks in one."""
        whole = pb.SnapshotChunk()
        while not whole.revision:
            message = await self.next()
            assert message.HasField("chunk"), message
            assert len(message.chunk.withdrawals) <= change_log.MAX_ENTRIES
            whole.MergeFrom(message.chunk)
        return whole

    async def refusal(self) -> Refusal:
        """Read to the end, which must be an error; returns it."""
        async with asyncio.timeout(SECONDS):
            try:
                while True:
                    assert await self.call.read() is not grpc.aio.EOF, "it ended well"
            except grpc.aio.AioRpcError as error:
                return read_refusal(error)


@contextlib.asynccontextmanager
async def watching(
    service: Almond, request: pb.WatchRevocationsRequest = NOW, caller: str | None = None
) -> AsyncIterator[Stream]:
    """Start to watch; the call is cancelled when the block ends."""
    stub = RevocationServiceStub(service.channel)
    call: Any = stub.WatchRevocations(request, metadata=bearer(caller or service.admin))
    try:
        async with asyncio.timeout(SECONDS):
            first = await call.read()
        assert first.HasField("started"), first
        yield Stream(call, first.started)
    finally:
        call.cancel()


async def refused(service: Almond, request: pb.WatchRevocationsRequest, caller: str | None = None) -> Refusal:
    """Start to watch, which must fail; returns the error."""
    try:
        async with watching(service, request, caller) as stream:
            raise AssertionError(f"it was answered: {stream.started}")
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)


async def revoke(app: App, *revocations: Revocation, cut_offs: Sequence[CutOff] = ()) -> None:
    """Revoke in the store under one revision, and let the server's view follow."""
    await app.store.revocations.revoke(revocations, Actor("operator"), "", None, 0, cut_offs)
    await app.follower.catch_up()


def number(revision: str) -> int:
    return int(revision.partition(".")[2])


def numbers(changes: Iterable[pb.RevocationChange]) -> list[int]:
    return [number(each.revision) for each in changes]


def ids(changes: Iterable[pb.RevocationChange | pb.SnapshotChunk]) -> list[str]:
    return [entry.token_id for each in changes for entry in each.withdrawals]
