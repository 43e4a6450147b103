"""The client's watch: it goes on by itself, misses nothing, and never takes itself for newer than it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
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
from almond_client import watch as watch_module
from almond_client.watch import Event
from faults.proxy import FaultProxy
from support import Almond, almond, deploy, eventually, org_wide, verifier

NOW = pb.WatchRevocationsRequest(from_now=pb.FromNow())


class Listener:
    """Reads a watch in the background, and keeps what it hears."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.events: list[Event] = []
        self.ages: list[float] = []
        self._heard = asyncio.Condition()

    async def run(self) -> None:
        async for event in self.watch:
            async with self._heard:
                self.events.append(event)
                if isinstance(event, pb.Heartbeat):
                    self.ages.append(self.watch.age())
                self._heard.notify_all()

    @property
    def changes(self) -> list[pb.RevocationChange]:
        return [each for each in self.events if isinstance(each, pb.RevocationChange)]

    @property
    def ids(self) -> list[str]:
        return [entry.token_id for each in self.changes for entry in each.withdrawals]

    async def hears(self, kind: type[Event], more: int = 1) -> None:
        """Wait for further events of a kind."""

        def count() -> int:
            return sum(isinstance(each, kind) for each in self.events)

        async with asyncio.timeout(20), self._heard:
            wanted = count() + more
            await self._heard.wait_for(lambda: count() >= wanted)

    async def turns_stale(self) -> None:
        async def look() -> bool:
            return self.watch.is_fresh

        await eventually(look, lambda is_fresh: not is_fresh, 10)

    async def has(self, count: int) -> None:
        """Wait until there are that many changes."""
        async with asyncio.timeout(20), self._heard:
            await self._heard.wait_for(lambda: len(self.changes) >= count)


@asynccontextmanager
async def listening(
    address: str, token: str, request: pb.WatchRevocationsRequest = NOW
) -> AsyncIterator[Listener]:
    async with AsyncClient(address, token) as client:
        listener = Listener(client.watch(request))
        running = asyncio.create_task(listener.run())
        try:
            await asyncio.wait(
                {running, asyncio.create_task(listener.hears(pb.Heartbeat))}, return_when="FIRST_COMPLETED"
            )
            yield listener
            assert not running.done(), running.exception()
        finally:
            running.cancel()
            await asyncio.wait({running})


async def _revoked(service: Almond, count: int) -> list[str]:
    made = [(await service.mint(org_wide())).record.id for _ in range(count)]
    for each in made:
        await service.revoke(token_id=each)
    return made


async def test_nothing_is_missing_or_comes_twice_however_often_the_line_is_cut(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", max_staleness=1.0) as service:
        with FaultProxy(("127.0.0.1", int(service.address.rpartition(":")[2]))) as proxy:
            async with listening(f"127.0.0.1:{proxy.port}", service.admin) as listener:
                made = await _revoked(service, 3)
                await listener.has(3)
                for fault in (proxy.cut, proxy.half_open):
                    await asyncio.to_thread(fault)
                    made += await _revoked(service, 3)
                    await asyncio.to_thread(proxy.heal)
                    await listener.has(len(made))
                assert listener.ids == made
                numbers = [int(each.revision.partition(".")[2]) for each in listener.changes]
                assert numbers == list(range(1, len(made) + 1))
                assert listener.watch.revision == listener.changes[-1].revision
                assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1


async def test_its_age_counts_what_was_delayed_and_grows_while_nothing_comes(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", max_staleness=1.0) as service:
        with FaultProxy(("127.0.0.1", int(service.address.rpartition(":")[2]))) as proxy:
            async with listening(f"127.0.0.1:{proxy.port}", service.admin) as listener:
                assert listener.watch.is_fresh
                assert listener.watch.max_staleness == 1.0
                await asyncio.to_thread(proxy.delay, 0.4)
                await listener.hears(pb.Heartbeat, 4)
                assert listener.ages[-1] >= 0.4  # it was that long on its way, which no clock has told
                await asyncio.to_thread(proxy.half_open)
                await listener.turns_stale()
                assert listener.watch.age() > 1.0
                await asyncio.to_thread(proxy.heal)
                await listener.hears(pb.Heartbeat)
                assert listener.watch.is_fresh


async def test_a_server_that_lost_its_store_makes_it_stale_until_it_is_back(tmp_path: Path) -> None:
    async with (
        almond(tmp_path / "data", max_staleness=0.5) as service,
        listening(service.address, service.admin) as listener,
    ):
        assert listener.watch.is_fresh
        await service.stop_following()
        await listener.turns_stale()
        following = asyncio.create_task(service.app.follower.run())
        await listener.hears(pb.Heartbeat)
        assert listener.watch.is_fresh
        following.cancel()
        await asyncio.wait({following})


async def test_before_the_first_heartbeat_it_is_not_fresh() -> None:
    async with AsyncClient("127.0.0.1:1") as client:
        watch = client.watch(NOW)
        assert watch.age() == float("inf")
        assert not watch.is_fresh


async def test_it_raises_what_will_not_pass(tmp_path: Path) -> None:
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
        made = await _revoked(service, 2)
        with FaultProxy(("127.0.0.1", int(service.address.rpartition(":")[2]))) as proxy:
            request = pb.WatchRevocationsRequest(snapshot=pb.FromSnapshot())
            async with listening(f"127.0.0.1:{proxy.port}", service.admin, request) as listener:
                await asyncio.to_thread(proxy.cut)
                more = await _revoked(service, 1)
                await asyncio.to_thread(proxy.heal)
                await listener.has(1)
                chunks = [each for each in listener.events if isinstance(each, pb.SnapshotChunk)]
                assert [entry.token_id for each in chunks for entry in each.withdrawals] == sorted(made)
                assert listener.ids == more
                assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1


@pytest.mark.parametrize("seconds", [-6.0, 3.0])
async def test_clocks_that_part_neither_make_it_newer_than_it_is_nor_old_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    async with (
        almond(tmp_path / "data", max_staleness=1.0) as service,
        listening(service.address, service.admin) as listener,
    ):
        assert listener.watch.is_fresh
        true_now = watch_module.now
        monkeypatch.setattr(watch_module, "now", lambda: true_now() + seconds)
        # What came before the clock moved may be told still; from then on it counts by a stream of its own.
        await listener.hears(pb.Heartbeat, 3)
        del listener.ages[:]
        await listener.hears(pb.Heartbeat, 3)
        assert all(0 <= each <= 1.0 for each in listener.ages)
        made = await service.mint(org_wide())
        await service.stop_following()
        await listener.turns_stale()
        following = asyncio.create_task(service.app.follower.run())
        await listener.hears(pb.Heartbeat)
        await service.revoke(token_id=made.record.id)
        await listener.has(1)
        assert listener.ids == [made.record.id]
        following.cancel()
        await asyncio.wait({following})


async def test_a_stream_ends_within_the_hour_and_another_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_STREAM_SECONDS", 0.2)
    async with almond(tmp_path / "data") as service, listening(service.address, service.admin) as listener:
        made = []
        for _ in range(4):
            made += await _revoked(service, 1)
            await listener.hears(pb.Heartbeat, 2)
        await listener.has(4)
        assert listener.ids == made
        assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1


@pytest.mark.parametrize(
    "request_", [NOW, pb.WatchRevocationsRequest(snapshot=pb.FromSnapshot())], ids=["now", "snapshot"]
)
async def test_who_fails_on_what_was_told_is_told_it_again_after_the_revision_that_was_reached(
    tmp_path: Path, request_: pb.WatchRevocationsRequest
) -> None:
    async with almond(tmp_path / "data") as service, AsyncClient(service.address, service.admin) as client:
        made = await _revoked(service, 1) if request_.HasField("snapshot") else []
        watch, told = client.watch(request_), ""
        async with aclosing(aiter(watch)) as events:
            async for event in events:
                if isinstance(event, pb.WatchStarted) and not made:
                    made = await _revoked(service, 1)
                if isinstance(event, pb.SnapshotChunk | pb.RevocationChange):
                    told = event.revision
                    break  # where somebody failed
            assert watch.revision != told
        if watch.revision:
            again = client.watch(pb.WatchRevocationsRequest(after_revision=watch.revision))
            async with aclosing(aiter(again)) as events:
                async for event in events:
                    if isinstance(event, pb.RevocationChange):
                        assert [each.token_id for each in event.withdrawals] == made
                        break
