"""The client's watch: it reconnects by itself, misses no change, and never reports too low an age."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from almond.v1 import revocation_service_pb2 as pb
from almond_client import (
    AsyncClient,
    FailedPreconditionError,
    PermissionDeniedError,
    UnauthenticatedError,
    Watch,
)
from almond_client.watch import Event
from client.listener import NOW, SNAPSHOT, listening, revoked
from faults.proxy import FaultProxy
from support.orders import deploy, verifier
from support.service import almond


async def test_no_change_is_missing_or_repeated_however_often_the_connection_breaks(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", max_staleness=1.0) as service:
        with FaultProxy(("127.0.0.1", int(service.address.rpartition(":")[2]))) as proxy:
            async with listening(f"127.0.0.1:{proxy.port}", service.admin) as listener:
                made = await revoked(service, 3)
                await listener.wait_for_changes(3)
                for fault in (proxy.cut, proxy.half_open):
                    await asyncio.to_thread(fault)
                    made += await revoked(service, 3)
                    await asyncio.to_thread(proxy.heal)
                    await listener.wait_for_changes(len(made))
                assert listener.ids == made
                numbers = [int(each.revision.partition(".")[2]) for each in listener.changes]
                assert numbers == list(range(1, len(made) + 1))
                assert listener.watch.revision == listener.changes[-1].revision
                assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1


async def test_the_age_includes_delays_and_grows_while_nothing_arrives(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", max_staleness=1.0) as service:
        with FaultProxy(("127.0.0.1", int(service.address.rpartition(":")[2]))) as proxy:
            async with listening(f"127.0.0.1:{proxy.port}", service.admin) as listener:
                assert listener.watch.is_fresh
                assert listener.watch.max_staleness == 1.0
                await asyncio.to_thread(proxy.delay, 0.4)
                await listener.wait_for(pb.Heartbeat, 4)
                # The heartbeat was delayed by that long, which no clock in it shows.
                assert listener.ages[-1] >= 0.4
                await asyncio.to_thread(proxy.half_open)
                await listener.wait_until_stale()
                assert listener.watch.age() > 1.0
                await asyncio.to_thread(proxy.heal)
                await listener.wait_for(pb.Heartbeat)
                assert listener.watch.is_fresh


async def test_the_watch_is_stale_while_the_server_cannot_read_its_store(tmp_path: Path) -> None:
    async with (
        almond(tmp_path / "data", max_staleness=0.5) as service,
        listening(service.address, service.admin) as listener,
    ):
        assert listener.watch.is_fresh
        await service.stop_following()
        await listener.wait_until_stale()
        following = asyncio.create_task(service.app.follower.run())
        await listener.wait_for(pb.Heartbeat)
        assert listener.watch.is_fresh
        following.cancel()
        await asyncio.wait({following})


async def test_a_watch_is_not_fresh_before_its_first_heartbeat() -> None:
    async with AsyncClient("127.0.0.1:1") as client:
        watch = client.watch(NOW)
        assert watch.age() == float("inf")
        assert not watch.is_fresh


async def test_errors_that_a_retry_cannot_cure_are_raised(tmp_path: Path) -> None:
    async with almond(tmp_path / "data") as service:
        for token, request, error in (
            (None, NOW, UnauthenticatedError),
            ((await service.mint(deploy())).token, NOW, PermissionDeniedError),
            (service.admin, pb.WatchRevocationsRequest(after_revision="00000000.1"), FailedPreconditionError),
        ):
            async with AsyncClient(service.address, token) as client:
                with pytest.raises(error):
                    await _first(client.watch(request))
        gate = await service.mint(verifier())
        request = pb.WatchRevocationsRequest(from_now=pb.FromNow(), org="acme")
        async with AsyncClient(service.address, gate.token) as client:
            watch = client.watch(request)
            async with aclosing(aiter(watch)) as events:
                assert isinstance(await anext(events), pb.WatchStarted)
                await service.revoke(token_id=gate.record.id)
                with pytest.raises(UnauthenticatedError):
                    await _end(events)


async def _first(watch: Watch) -> Event:
    async with aclosing(aiter(watch)) as events:
        return await anext(events)


async def _end(events: AsyncIterator[Event]) -> None:
    async with asyncio.timeout(10):
        async for _ in events:
            pass


async def test_a_snapshot_comes_first_and_is_not_repeated_after_a_break(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", max_staleness=1.0) as service:
        made = await revoked(service, 2)
        with FaultProxy(("127.0.0.1", int(service.address.rpartition(":")[2]))) as proxy:
            async with listening(f"127.0.0.1:{proxy.port}", service.admin, SNAPSHOT) as listener:
                await asyncio.to_thread(proxy.cut)
                more = await revoked(service, 1)
                await asyncio.to_thread(proxy.heal)
                await listener.wait_for_changes(1)
                chunks = [each for each in listener.events if isinstance(each, pb.SnapshotChunk)]
                assert [entry.token_id for each in chunks for entry in each.withdrawals] == sorted(made)
                assert listener.ids == more
                assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1


@pytest.mark.parametrize("request_", [NOW, SNAPSHOT], ids=["now", "snapshot"])
async def test_an_event_that_the_reader_fails_on_comes_again_after_the_watchs_revision(
    tmp_path: Path, request_: pb.WatchRevocationsRequest
) -> None:
    async with almond(tmp_path / "data") as service, AsyncClient(service.address, service.admin) as client:
        made = await revoked(service, 1) if request_.HasField("snapshot") else []
        watch, failed_at = client.watch(request_), ""
        async with aclosing(aiter(watch)) as events:
            async for event in events:
                if isinstance(event, pb.WatchStarted) and not made:
                    made = await revoked(service, 1)
                if isinstance(event, pb.SnapshotChunk | pb.RevocationChange):
                    # The reader fails on this event.
                    failed_at = event.revision
                    break
            assert watch.revision != failed_at
        if watch.revision:
            again = client.watch(pb.WatchRevocationsRequest(after_revision=watch.revision))
            async with aclosing(aiter(again)) as events:
                async for event in events:
                    if isinstance(event, pb.RevocationChange):
                        assert [each.token_id for each in event.withdrawals] == made
                        break
