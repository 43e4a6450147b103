"""The clocks of the client's watch: how far they may drift apart, and when a stream ends because of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import pytest

from almond.v1 import revocation_service_pb2 as pb
from almond_client import watch as watch_module
from client.listener import SNAPSHOT, listening, revoked
from support.orders import org_wide
from support.service import almond


@pytest.mark.parametrize("seconds", [-6.0, 3.0])
async def test_clocks_that_drift_apart_make_the_data_neither_too_new_nor_old_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    async with (
        almond(tmp_path / "data", max_staleness=1.0) as service,
        listening(service.address, service.admin) as listener,
    ):
        assert listener.watch.is_fresh
        true_now = watch_module.now
        monkeypatch.setattr(watch_module, "now", lambda: true_now() + seconds)
        assert listener.watch.age() > 1.0
        # Events from before the clock moved may still arrive; then a new stream starts, with its own time.
        await listener.wait_for(pb.Heartbeat, 3)
        del listener.ages[:]
        await listener.wait_for(pb.Heartbeat, 3)
        assert all(0 <= each <= 1.0 for each in listener.ages)
        assert len(listener.requests) == 2
        made = await service.mint(org_wide())
        await service.stop_following()
        await listener.wait_until_stale()
        following = asyncio.create_task(service.app.follower.run())
        await listener.wait_for(pb.Heartbeat)
        await service.revoke(token_id=made.record.id)
        await listener.wait_for_changes(1)
        assert listener.ids == [made.record.id]
        following.cancel()
        await asyncio.wait({following})


async def test_a_stream_ends_within_the_hour_and_another_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_STREAM_SECONDS", 0.2)
    async with almond(tmp_path / "data") as service, listening(service.address, service.admin) as listener:
        made = []
        for _ in range(4):
            made += await revoked(service, 1)
            await listener.wait_for(pb.Heartbeat, 2)
        await listener.wait_for_changes(4)
        assert listener.ids == made
        assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1
        assert len(listener.requests) > 2
        # Ending a stream in time is no break.
        assert not listener.breaks


async def test_a_stream_at_its_end_of_time_ends_at_a_heartbeat_and_not_within_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_STREAM_SECONDS", 0.0)
    async with almond(tmp_path / "data") as service:
        made = await revoked(service, 2)
        async with listening(service.address, service.admin, SNAPSHOT) as listener:
            assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1
            await listener.wait_for(pb.Heartbeat)
            chunks = [each for each in listener.events if isinstance(each, pb.SnapshotChunk)]
            assert [entry.token_id for each in chunks for entry in each.withdrawals] == sorted(made)
            assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1
            assert len(listener.requests) > 1


async def test_streams_with_only_stale_data_are_opened_at_growing_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with almond(tmp_path / "data", max_staleness=1.0) as service:
        # The clock moves by ten seconds at each reading.
        monkeypatch.setattr(watch_module, "now", count(0.0, 10.0).__next__)
        async with listening(service.address, service.admin) as listener:
            await asyncio.sleep(3.0)
            # The pauses are 0.1, 0.2, 0.4, ... seconds, or half of that.
            assert 3 <= len(listener.requests) <= 9
            assert not listener.watch.is_fresh


async def test_an_old_heartbeat_ends_no_stream_while_the_data_is_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_acme = pb.WatchRevocationsRequest(from_now=pb.FromNow(), org="acme")
    async with (
        almond(tmp_path / "data", max_staleness=1.0) as service,
        listening(service.address, service.admin, of_acme) as listener,
    ):
        tokens = service.app.store.tokens
        home_orgs, is_reading = tokens.home_orgs, asyncio.Event()

        async def slowly(token_ids: Sequence[str]) -> Mapping[str, str]:
            is_reading.set()
            # One or two heartbeats come meanwhile.
            await asyncio.sleep(0.4)
            return await home_orgs(token_ids)

        await revoked(service, 1)
        await listener.wait_for_changes(1)
        # The first change is then older than the bound.
        await asyncio.sleep(1.5)
        monkeypatch.setattr(tokens, "home_orgs", slowly)
        await revoked(service, 1)
        await listener.wait_for_changes(2)
        assert is_reading.is_set()
        await listener.wait_for(pb.Heartbeat)
        assert len(listener.requests) == 1
        assert all(each <= 1.0 for each in listener.ages)
