"""A clock that jumped: when the server goes on by itself, and what it never does meanwhile."""

from __future__ import annotations

import pytest

from almond_server.domain.revocations import Reading
from almond_server.errors import CannotKnowError, ClockDiffersError
from fakes.store import MemoryStore
from support.clock import SetClock
from support.plane import Plane, StoreAccess

HOUR = 3600
DAY = 24 * HOUR
SETTLED = 10.0


@pytest.fixture
async def server(clock: SetClock) -> Plane:
    """A server on a store that, as SQLite, has no clock of its own."""
    plane = Plane(clock)
    await plane.follower.catch_up()
    return plane


def jump(clock: SetClock, seconds: int) -> None:
    clock.wall_ms += seconds * 1000


async def refuses(server: Plane) -> None:
    with pytest.raises(ClockDiffersError):
        await server.follower.catch_up()
    with pytest.raises(ClockDiffersError):
        server.view.require_fresh()


@pytest.mark.parametrize("jumped", [31, 2 * HOUR, 30 * DAY])
async def test_a_clock_put_forward_is_taken_as_right_once_it_has_lasted(
    server: Plane, clock: SetClock, jumped: int
) -> None:
    before = server.store.time
    jump(clock, jumped)
    for _ in range(10):
        await refuses(server)
        assert server.store.time == before
        clock.advance(SETTLED / 10)
    await server.follower.catch_up()
    server.view.require_fresh()
    assert server.store.time == before + jumped + SETTLED
    assert server.follower.clock_corrected_at == clock.monotonic()


async def test_a_clock_that_is_set_right_again_is_right_at_once(server: Plane, clock: SetClock) -> None:
    before = server.store.time
    jump(clock, 2 * HOUR)
    await refuses(server)
    jump(clock, -2 * HOUR)
    await server.follower.catch_up()
    server.view.require_fresh()
    assert server.store.time == before


async def test_each_further_jump_begins_the_wait_anew(server: Plane, clock: SetClock) -> None:
    jump(clock, HOUR)
    await refuses(server)
    clock.advance(SETTLED - 1)
    jump(clock, HOUR)
    await refuses(server)
    clock.advance(SETTLED - 1)
    await refuses(server)
    clock.advance(1)
    await server.follower.catch_up()


@pytest.mark.parametrize("jumped", [-2 * HOUR, -30 * DAY])
async def test_a_clock_put_back_is_right_when_it_has_come_to_the_highest_time_of_the_store(
    server: Plane, clock: SetClock, jumped: int
) -> None:
    highest = server.store.time
    jump(clock, jumped)
    for seconds in (0, SETTLED, SETTLED, -jumped - 2 * SETTLED - 31):
        clock.advance(seconds)
        await refuses(server)
    clock.advance(2)
    await server.follower.catch_up()
    server.view.require_fresh()
    assert server.store.time == highest
    assert server.view.store_time == highest


async def test_a_stopped_server_does_not_take_old_knowledge_for_new(server: Plane, clock: SetClock) -> None:
    clock.advance(2 * HOUR)  # stopped
    jump(clock, 2 * HOUR)
    await refuses(server)
    clock.advance(SETTLED)
    server.store.available = False
    with pytest.raises(CannotKnowError):
        await server.follower.catch_up()
    with pytest.raises(CannotKnowError):
        server.view.require_fresh()
    server.store.available = True
    began = clock.monotonic()
    await server.follower.catch_up()
    assert server.view.proven_at == began
    server.view.require_fresh()


async def test_a_clock_is_not_taken_while_another_server_proves_the_view(
    server: Plane, clock: SetClock
) -> None:
    jump(clock, HOUR)
    await refuses(server)
    before = server.store.time
    for _ in range(5):
        clock.advance(SETTLED - 1)
        server.view.prove(server.store.reading(0), clock.monotonic())  # as a heartbeat does
        await refuses(server)
    assert server.store.time == before


class WithClock(StoreAccess):
    """A store with a clock of its own, as PostgreSQL."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.clock = SetClock()

    async def reading(self, now: int) -> Reading:
        del now
        return await super().reading(self.clock.now_ms() // 1000)


async def test_a_store_with_a_clock_of_its_own_decides(clock: SetClock) -> None:
    store = MemoryStore()
    access = WithClock(store)
    server = Plane(clock, store, revocations=access)
    await server.follower.catch_up()
    jump(clock, 2 * HOUR)
    for _ in range(3):
        await refuses(server)
        clock.advance(SETTLED)
        access.clock.advance(SETTLED)
    jump(access.clock, 2 * HOUR)
    await server.follower.catch_up()
    server.view.require_fresh()


async def test_nothing_is_pruned_in_the_first_hour_of_a_new_time(server: Plane, clock: SetClock) -> None:
    await server.revoke("live", ends_at=clock.now_ms() // 1000 + 7 * DAY)
    clock.advance(2 * HOUR)  # so that it is time to prune
    await server.follower.catch_up()
    jump(clock, 30 * DAY)
    await refuses(server)
    clock.advance(SETTLED)
    await server.follower.catch_up()
    await server.relay.run_once()
    assert server.store.entries == {("live", None)}
    clock.advance(HOUR)
    await server.relay.run_once()
    assert server.store.entries == set()
