"""The client's watch counts on two clocks: what they may count differently, and what ends a stream for it."""

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
        assert listener.watch.age() > 1.0
        # What came before the clock moved may be told still; from then on it counts by a stream of its own.
        await listener.hears(pb.Heartbeat, 3)
        del listener.ages[:]
        await listener.hears(pb.Heartbeat, 3)
        assert all(0 <= each <= 1.0 for each in listener.ages)
        assert len(listener.asked) == 2
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
            made += await revoked(service, 1)
            await listener.hears(pb.Heartbeat, 2)
        await listener.has(4)
        assert listener.ids == made
        assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1
        assert len(listener.asked) > 2
        assert not listener.breaks  # nothing is wrong


async def test_a_stream_whose_time_is_over_ends_at_a_heartbeat_and_not_within_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_STREAM_SECONDS", 0.0)
    async with almond(tmp_path / "data") as service:
        made = await revoked(service, 2)
        async with listening(service.address, service.admin, SNAPSHOT) as listener:
            assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1
            await listener.hears(pb.Heartbeat)
            chunks = [each for each in listener.events if isinstance(each, pb.SnapshotChunk)]
            assert [entry.token_id for each in chunks for entry in each.withdrawals] == sorted(made)
            assert sum(isinstance(each, pb.WatchStarted) for each in listener.events) == 1
            assert len(listener.asked) > 1


async def test_streams_that_tell_only_what_is_too_old_are_begun_ever_more_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with almond(tmp_path / "data", max_staleness=1.0) as service:
        monkeypatch.setattr(watch_module, "now", count(0.0, 10.0).__next__)  # ten seconds at each look
        async with listening(service.address, service.admin) as listener:
            await asyncio.sleep(3.0)
            assert 3 <= len(listener.asked) <= 9  # pauses of 0.1, 0.2, 0.4, ... seconds, or half of that
            assert not listener.watch.is_fresh


async def test_an_old_heartbeat_ends_no_stream_while_what_was_told_is_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_acme = pb.WatchRevocationsRequest(from_now=pb.FromNow(), org="acme")
    async with (
        almond(tmp_path / "data", max_staleness=1.0) as service,
        listening(service.address, service.admin, of_acme) as listener,
    ):
        tokens = service.app.store.tokens
        home_orgs, asks = tokens.home_orgs, asyncio.Event()

        async def slowly(token_ids: Sequence[str]) -> Mapping[str, str]:
            asks.set()
            await asyncio.sleep(0.4)  # two heartbeats, or one
            return await home_orgs(token_ids)

        await revoked(service, 1)
        await listener.has(1)
        await asyncio.sleep(1.5)  # what was known then is older than the bound
        monkeypatch.setattr(tokens, "home_orgs", slowly)
        await revoked(service, 1)
        await listener.has(2)
        assert asks.is_set()
        await listener.hears(pb.Heartbeat)
        assert len(listener.asked) == 1
        assert all(each <= 1.0 for each in listener.ages)
