"""Rotations that are due become revocations: by the relay at once, by another server a little later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from almond_server.domain.rotations import NextDue, Rotation
from almond_server.errors import CannotKnowError, StoreUnavailableError
from almond_server.revocation.due_revocations import DueRevocations
from fakes.rotations import MemoryRotations
from fakes.store import MemoryStore, MemoryTokens
from support.clock import SetClock
from support.plane import Plane, in_background
from support.samples import OPERATOR, holder, record
from support.waiting import until

HOUR = 3600
STAND_IN, ALARM = 10, 60


class UnwritableRotations(MemoryRotations):
    """A way to a store that can be read, and refuses to write."""

    async def carry_out(self, limit: int, now: int) -> int:
        del limit, now
        raise StoreUnavailableError("The disk is full.")


class Server:
    """One server, which is the relay or is not."""

    def __init__(
        self, store: MemoryStore, clock: SetClock, *, is_relay: bool, rotations: MemoryRotations | None = None
    ) -> None:
        self.is_relay = is_relay
        self.problem: CannotKnowError | None = None
        self.due = DueRevocations(
            rotations or MemoryRotations(store), lambda: self.is_relay, self._require_sound, clock, 0.01
        )

    def _require_sound(self) -> None:
        if self.problem is not None:
            raise self.problem


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def relay(store: MemoryStore, clock: SetClock) -> Server:
    return Server(store, clock, is_relay=True)


@pytest.fixture
def other(store: MemoryStore, clock: SetClock) -> Server:
    return Server(store, clock, is_relay=False)


async def rotate(store: MemoryStore, clock: SetClock, overlap: int = HOUR) -> Rotation:
    now, actor = clock.now_ms() // 1000, holder("rotator")
    old = record(created_at_ms=clock.now_ms(), expires_at=now + 30 * HOUR)
    await MemoryTokens(store).add(old, OPERATOR, None, now)
    successor = record(created_at_ms=clock.now_ms(), expires_at=now + 30 * HOUR)
    return await MemoryRotations(store).add(successor, old.token_id, overlap, actor, None, now)


def revoked(store: MemoryStore, *rotations: Rotation) -> list[bool]:
    return [store.records[each.rotated.token_id].revoked_at is not None for each in rotations]


def events(logged: list[Any]) -> list[str]:
    return [line["event"] for line in logged]


async def test_the_relay_revokes_a_rotated_token_when_it_is_due_and_not_before(
    store: MemoryStore, relay: Server, clock: SetClock
) -> None:
    rotation = await rotate(store, clock)
    clock.advance(HOUR - 1)
    await relay.due.run_once()
    assert revoked(store, rotation) == [False]
    clock.advance(1)
    await relay.due.run_once()
    assert revoked(store, rotation) == [True]
    assert store.records[rotation.successor.token_id].revoked_at is None


async def test_it_is_revoked_once(store: MemoryStore, relay: Server, clock: SetClock) -> None:
    await rotate(store, clock)
    clock.advance(HOUR)
    for _ in range(3):
        await relay.due.run_once()
    assert store.number == 1
    assert [row.action for row in store.audit].count("token.revoked") == 1


async def test_a_server_that_is_not_the_relay_waits_and_then_stands_in(
    store: MemoryStore, other: Server, clock: SetClock
) -> None:
    rotation = await rotate(store, clock)
    clock.advance(HOUR + STAND_IN - 1)
    await other.due.run_once()
    assert revoked(store, rotation) == [False]
    clock.advance(1)
    await other.due.run_once()
    assert revoked(store, rotation) == [True]


async def test_a_server_that_is_elected_after_the_due_time_revokes_it(
    store: MemoryStore, other: Server, clock: SetClock
) -> None:
    rotation = await rotate(store, clock)
    clock.advance(HOUR + 1)
    await other.due.run_once()
    other.is_relay = True
    await other.due.run_once()
    assert revoked(store, rotation) == [True]


async def test_two_relays_at_once_revoke_it_once(store: MemoryStore, relay: Server, clock: SetClock) -> None:
    await rotate(store, clock)
    clock.advance(HOUR)
    second = Server(store, clock, is_relay=True)
    await asyncio.gather(relay.due.run_once(), second.due.run_once())
    assert store.number == 1
    assert [row.action for row in store.audit].count("token.revoked") == 1


async def test_more_than_a_transaction_holds_are_all_revoked_in_one_round(
    store: MemoryStore, relay: Server, clock: SetClock
) -> None:
    rotations = [await rotate(store, clock) for _ in range(230)]
    later = await rotate(store, clock, 2 * HOUR)
    clock.advance(HOUR)
    with capture_logs() as logged:
        await relay.due.run_once()
    assert all(revoked(store, *rotations))
    assert revoked(store, later) == [False]
    assert [(each["event"], each["tokens"]) for each in logged] == [("rotation.carried_out", 230)]


async def test_nothing_is_revoked_while_the_clocks_differ(
    store: MemoryStore, relay: Server, clock: SetClock
) -> None:
    rotation = await rotate(store, clock)
    relay.problem = CannotKnowError("This server's clock differs from the store's.")
    clock.wall_ms += 24 * HOUR * 1000
    await relay.due.run_once()
    assert revoked(store, rotation) == [False]
    assert store.time < clock.now_ms() // 1000
    clock.wall_ms -= 24 * HOUR * 1000
    relay.problem = None
    await relay.due.run_once()
    assert revoked(store, rotation) == [False]
    clock.advance(HOUR)
    await relay.due.run_once()
    assert revoked(store, rotation) == [True]


async def test_a_clock_that_is_set_back_delays_nothing_that_was_due(
    store: MemoryStore, relay: Server, clock: SetClock
) -> None:
    rotation = await rotate(store, clock)
    store.reading(clock.now_ms() // 1000 + HOUR)
    clock.wall_ms -= 2 * HOUR * 1000
    await relay.due.run_once()
    assert revoked(store, rotation) == [True]


async def test_a_store_that_fails_is_logged_once_and_made_up_for(
    store: MemoryStore, relay: Server, clock: SetClock
) -> None:
    rotation = await rotate(store, clock)
    clock.advance(HOUR)
    store.available = False
    with capture_logs() as logged:
        await relay.due.run_once()
        await relay.due.run_once()
        store.available = True
        await relay.due.run_once()
    assert events(logged) == ["rotation.not_carried_out", "rotation.carried_out"]
    assert revoked(store, rotation) == [True]


async def test_how_late_it_is_grows_while_the_store_cannot_even_be_read(
    store: MemoryStore, relay: Server, clock: SetClock
) -> None:
    await rotate(store, clock)
    await relay.due.run_once()
    assert relay.due.seconds_late == 0
    store.available = False
    clock.advance(HOUR)
    assert relay.due.seconds_late == 0
    clock.advance(ALARM)
    await relay.due.run_once()
    assert relay.due.seconds_late == ALARM
    store.available = True
    await relay.due.run_once()
    assert relay.due.seconds_late == 0


async def test_over_a_minute_late_is_an_alarm_in_the_log_once(store: MemoryStore, clock: SetClock) -> None:
    server = Server(store, clock, is_relay=True, rotations=UnwritableRotations(store))
    await rotate(store, clock)
    clock.advance(HOUR + ALARM)
    with capture_logs() as logged:
        await server.due.run_once()
        assert "rotation.overdue" not in events(logged)
        for _ in range(3):
            clock.advance(1)
            await server.due.run_once()
    (overdue,) = [line for line in logged if line["event"] == "rotation.overdue"]
    assert (overdue["log_level"], overdue["seconds"]) == ("error", ALARM + 1)


async def test_a_server_that_does_not_carry_out_knows_how_late_the_relay_is(
    store: MemoryStore, clock: SetClock
) -> None:
    server = Server(store, clock, is_relay=False, rotations=UnwritableRotations(store))
    await rotate(store, clock)
    clock.advance(HOUR + 5)
    await server.due.run_once()
    assert server.due.seconds_late == 5


async def test_a_round_ends_although_the_store_says_that_something_is_due_and_revokes_nothing(
    clock: SetClock,
) -> None:
    class Stuck(MemoryRotations):
        async def next_due(self, now: int) -> NextDue:
            return NextDue(now, now)

    server = Server(MemoryStore(), clock, is_relay=True, rotations=Stuck(MemoryStore()))
    async with asyncio.timeout(5):
        await server.due.run_once()


async def test_what_is_carried_out_reaches_the_views_of_other_servers_as_any_revocation(
    store: MemoryStore, relay: Server, clock: SetClock
) -> None:
    plane = Plane(clock, store, poll_seconds=0.01)
    rotation = await rotate(store, clock)
    async with plane.running(), in_background(relay.due.run()):
        clock.advance(HOUR)
        await until(lambda: plane.view.is_revoked(rotation.rotated.token_id, b""))
        assert not plane.view.is_revoked(rotation.successor.token_id, b"")
