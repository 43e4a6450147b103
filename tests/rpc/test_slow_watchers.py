"""Watchers that do not read cost one message of memory, delay no other watcher, and are dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import psutil
import pytest

from almond.v1.revocation_service_pb2_grpc import RevocationServiceStub
from almond_core.model import token_id_at
from almond_server.domain.revocations import Change, Revocation
from almond_server.rpc import stream_writer
from support.service import Almond, bearer
from support.waiting import eventually
from support.watching import NOW, Stream, numbers, watching

_UNREAD = 20
_CHANGES = 90
_NARROW = (
    ("grpc.http2.lookahead_bytes", 1024),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


@asynccontextmanager
async def unread(service: Almond) -> AsyncIterator[Stream]:
    """Start to watch on a connection of its own with a small window; only the first message is read."""
    async with grpc.aio.insecure_channel(service.address, options=_NARROW) as channel:
        yield (await _begun(service, channel))


async def _begun(service: Almond, channel: grpc.aio.Channel) -> Stream:
    call: Any = RevocationServiceStub(channel).WatchRevocations(NOW, metadata=bearer(service.admin))
    first = await call.read()
    return Stream(call, first.started)


def _large(count: int) -> list[Change]:
    entries = tuple(
        Revocation(token_id_at(1_700_000_000_000, each.to_bytes(10, "big")), b"\1" * 16, 2_000_000_000)
        for each in range(1000)
    )
    return [Change(each, b"", b"", entries) for each in range(1, count + 1)]


async def test_a_watcher_that_does_not_read_is_dropped_with_a_reason(
    service: Almond, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_writer, "PATIENCE_SECONDS", 1.0)
    process, log = psutil.Process(), service.app.watches._changes
    changes = _large(_CHANGES)  # 90 messages of 80 kB for each
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(unread(service)) for _ in range(_UNREAD)]
        async with watching(service) as reader:
            before = process.memory_info().rss
            received = []
            for change in changes:
                log.append(change)
                received += await reader.until(f"{reader.started.revision.partition('.')[0]}.{change.number}")
            # The watcher that reads has received everything; queues for the others would hold 140 MB.
            assert numbers(received) == list(range(1, _CHANGES + 1))
            assert process.memory_info().rss - before < 50 * 2**20

            async def watchers() -> int:
                return len(service.app.watches)

            for each in slow:
                end = await each.refusal()
                assert (end.code, end.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW")
            await eventually(watchers, lambda left: left == 1)
