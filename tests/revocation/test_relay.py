"""The relay sends heartbeats, appends what a crash left unsent, publishes snapshots and prunes the store."""

from __future__ import annotations

import asyncio

import pytest

from almond_server.domain.feed import RevocationPage, Snapshot, Tail
from almond_server.domain.revocations import (
    KEPT_SECONDS,
    LINKED_SECONDS,
    Change,
    CutOff,
    Revocation,
    Scope,
)
from almond_server.errors import CannotKnowError
from fakes.election import MemoryElection
from fakes.feed import MemoryFeed
from fakes.revocations import MemoryRevocations
from fakes.store import MemoryStore
from support.clock import SetClock
from support.feeds import pages_of
from support.plane import OFTEN, Plane
from support.samples import OPERATOR
from support.waiting import eventually, until


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def feed() -> MemoryFeed:
    return MemoryFeed()


@pytest.fixture
def nodes(store: MemoryStore, feed: MemoryFeed, clock: SetClock) -> tuple[Plane, Plane]:
    box: list[object] = []
    one, other = (Plane(clock, store, feed, election_box=box, poll_seconds=OFTEN) for _ in range(2))
    return one, other


async def pass_time(clock: SetClock, seconds: float) -> None:
    """Advance the clock in steps; every background task runs between them."""
    for _ in range(round(seconds * 2)):
        clock.advance(0.5)
        await asyncio.sleep(0.03)


async def test_a_server_without_the_store_stays_fresh_by_heartbeats(
    nodes: tuple[Plane, Plane], store: MemoryStore, clock: SetClock
) -> None:
    server, other = nodes
    async with server.running(relay=True), other.running():
        other.revocations.is_cut = True
        await pass_time(clock, 12)
        assert other.view.is_fresh
        await server.revoke("t1")
        await until(lambda: other.view.revision.number == 1)
        await pass_time(clock, 12)
        other.view.require_fresh()
        assert other.follower.heartbeat_age < 5
        assert (server.relay.is_elected, server.relay.lag) == (True, 0)


async def test_a_server_without_the_store_can_wait_for_a_heartbeat_instead_of_a_read(
    nodes: tuple[Plane, Plane], clock: SetClock
) -> None:
    server, other = nodes
    async with server.running(relay=True), other.running():
        other.revocations.is_cut = True
        clock.advance(0.1)
        asked_at = clock.monotonic()
        await other.follower.waits.until_read_since(asked_at)
        assert other.view.was_read_since(asked_at)
        server.revocations.is_cut = True
        clock.advance(0.1)
        with pytest.raises(CannotKnowError):
            await other.follower.waits.until_read_since(clock.monotonic())


async def test_without_a_relay_a_server_without_the_store_is_stale(
    nodes: tuple[Plane, Plane], clock: SetClock
) -> None:
    server, other = nodes
    async with server.running(), other.running():
        other.revocations.is_cut = True
        await pass_time(clock, 6)
        assert server.view.is_fresh
        assert not other.view.is_fresh


async def test_a_relay_without_the_store_proves_nothing(nodes: tuple[Plane, Plane], clock: SetClock) -> None:
    server, other = nodes
    async with server.running(relay=True), other.running():
        server.revocations.is_cut = other.revocations.is_cut = True
        await pass_time(clock, 6)
        assert (server.view.is_fresh, other.view.is_fresh) == (False, False)


async def test_another_server_takes_over_from_a_relay_without_the_store(
    nodes: tuple[Plane, Plane], clock: SetClock
) -> None:
    server, other = nodes
    async with server.running(relay=True):
        await until(lambda: server.relay.is_elected)
        async with other.running(relay=True):
            server.revocations.is_cut = True
            await pass_time(clock, 12)
            assert (server.view.is_fresh, other.view.is_fresh) == (True, True)


async def test_an_old_heartbeat_proves_nothing(
    nodes: tuple[Plane, Plane], feed: MemoryFeed, clock: SetClock
) -> None:
    server, other = nodes
    async with server.running(relay=True), other.running():
        await pass_time(clock, 1)
        other.revocations.is_cut = True
        beats = feed.heartbeats()
        assert beats
        server.relay._election = MemoryElection([object()])  # it sends no more of them
        for _ in range(12):
            for beat in beats:
                await feed.send_heartbeat(beat)
            await pass_time(clock, 0.5)
        assert not other.view.is_fresh


async def test_a_heartbeat_ahead_of_the_view_proves_nothing(
    nodes: tuple[Plane, Plane], store: MemoryStore, clock: SetClock
) -> None:
    server, other = nodes
    async with server.running(relay=True), other.running():
        other.revocations.is_cut = True
        await server.revoke("t1", "t2")
        await until(lambda: server.view.revision.number == 2)
        await until(lambda: other.view.revision.number == 2)
        # Now a change is lost on its way to this server.
        other.view.set_revision(1, store.marks[1])
        await pass_time(clock, 6)
        assert not other.view.is_fresh


async def test_the_relay_appends_what_a_crash_left_unsent(
    nodes: tuple[Plane, Plane], store: MemoryStore, feed: MemoryFeed
) -> None:
    server, _ = nodes
    await server.revoke(*(f"t{each}" for each in range(5)))
    await feed.append(store.changes[0])
    async with server.running(relay=True):
        await until(lambda: len(feed.changes()) == 5)
    assert feed.changes() == store.changes


async def test_the_lag_of_the_relay_counts_revisions_that_the_feed_lacks(
    nodes: tuple[Plane, Plane], store: MemoryStore, feed: MemoryFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = nodes
    await server.revoke("t1", "t2", "t3")
    await feed.append(store.changes[0])

    async def refuses(_: Change) -> bool:
        return False

    with monkeypatch.context() as patched:
        patched.setattr(feed, "append", refuses)
        await server.relay.run_once()
        assert server.relay.lag == 2
    await server.relay.run_once()
    assert server.relay.lag == 0


async def test_the_age_of_the_last_heartbeat_counts_from_the_start_at_first(
    nodes: tuple[Plane, Plane], clock: SetClock
) -> None:
    server, _ = nodes
    assert server.follower.heartbeat_age == 0
    async with server.running():
        await pass_time(clock, 2)
        assert server.follower.heartbeat_age == 2


async def test_a_flushed_feed_gets_the_newest_changes_again(
    nodes: tuple[Plane, Plane], store: MemoryStore, feed: MemoryFeed
) -> None:
    server, _ = nodes
    await server.revoke(*(f"t{each}" for each in range(1500)))
    async with server.running(relay=True):
        await until(lambda: feed.changes() and feed.changes()[-1].number == 1500)  # no append is under way
        feed.flush()
        await until(lambda: len(feed.changes()) == 1000)
        assert feed.changes() == store.changes[-1000:]


async def test_a_feed_with_more_than_the_store_is_an_alarm(
    nodes: tuple[Plane, Plane], store: MemoryStore, feed: MemoryFeed
) -> None:
    """The database was restored: what it lost is still in the feed, which must not be dropped."""
    server, other = nodes
    await server.revoke("t1", "t2", "lost")
    for change in store.changes:
        await feed.append(change)
    store.entries.discard(("lost", None))
    store.changes.pop()
    del store.marks[3]
    with pytest.raises(CannotKnowError, match="backwards"):
        await server.follower.start()
    await server.revoke("else")  # the store gets new revisions again
    with pytest.raises(CannotKnowError, match="backwards"):
        await other.follower.start()
    assert (server.alarms, other.alarms) == (1, 1)
    assert feed.changes()[-1].revocations == (Revocation("lost", None, None),)


async def test_a_feed_whose_end_the_store_has_forgotten_is_restarted(
    nodes: tuple[Plane, Plane], store: MemoryStore, feed: MemoryFeed
) -> None:
    server, _ = nodes
    await server.revoke("t1", "t2", "t3")
    await feed.append(Change(1, b"forgotten", b"", ()))
    del store.marks[1]
    async with server.running(relay=True):
        await until(lambda: feed.changes() == store.changes)
    assert server.alarms == 0


async def test_a_snapshot_is_published_at_once_and_then_after_1000_changes_or_a_minute(
    nodes: tuple[Plane, Plane], store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server, other = nodes
    await server.revoke("t1")
    async with server.running(relay=True):
        await until(lambda: feed.snapshot_number == 1)
        await server.revoke("t2")
        await until(lambda: feed.changes()[-1].number == 2)
        assert feed.snapshot_number == 1
        clock.advance(60)
        await until(lambda: feed.snapshot_number == 2)
        await server.revoke(*(f"u{each}" for each in range(1000)))
        await until(lambda: feed.snapshot_number == 1002)
    reads: list[int] = []
    whole_read = other.revocations.page

    async def counted(number: int, after: Revocation | None, limit: int) -> object:
        reads.append(number)
        return await whole_read(number, after, limit)

    other.revocations.page = counted  # type: ignore[assignment, method-assign]
    await other.follower.start()
    assert (len(other.view), other.view.revision.number, reads) == (1002, 1002, [])


async def test_the_snapshot_has_the_cut_offs(
    nodes: tuple[Plane, Plane], store: MemoryStore, feed: MemoryFeed
) -> None:
    server, _ = nodes
    cut_offs = [CutOff(Scope.SUBJECT, f"user:{each:04}", each) for each in range(2001)]
    await MemoryRevocations(store).revoke([], OPERATOR, "", None, 0, cut_offs)
    await server.revoke(*(f"t{each}" for each in range(1000)))
    async with server.running(relay=True):
        found = await eventually(feed.snapshot, lambda snapshot: snapshot is not None)
    assert found is not None
    assert [each async for page in found.pages for each in page.cut_offs] == cut_offs


async def test_a_snapshot_of_another_past_is_not_loaded(
    nodes: tuple[Plane, Plane], store: MemoryStore, feed: MemoryFeed
) -> None:
    server, _ = nodes
    await server.revoke("t1", "t2")
    page = RevocationPage([Revocation("of another past", None, None)])
    await feed.publish_snapshot(Snapshot(2, b"another!", pages_of(page)))
    await server.follower.start()
    assert {each.token_id for each in server.view.entries()} == {"t1", "t2"}
    async with server.running(relay=True):
        pass


async def test_ended_entries_are_pruned_from_the_store(
    nodes: tuple[Plane, Plane], store: MemoryStore, clock: SetClock
) -> None:
    server, _ = nodes
    now = clock.now_ms() // 1000
    await server.revoke("ended", ends_at=now - KEPT_SECONDS)
    await server.revoke("later", ends_at=now + LINKED_SECONDS)
    async with server.running(relay=True):
        clock.advance(61)
        await server.relay.run_once()
        # Not yet: the clock may be wrong, and an operator gets an hour to see it.
        assert len(store.entries) == 2
        clock.advance(3600)
        await until(lambda: store.entries == {("later", None)})


async def test_nothing_is_pruned_by_a_wrong_time_of_the_store(
    nodes: tuple[Plane, Plane], store: MemoryStore, clock: SetClock
) -> None:
    server, _ = nodes
    now = clock.now_ms() // 1000
    await server.revoke("live", ends_at=now + 7200)
    await server.follower.start()
    clock.advance(3661)  # it is time to prune
    store.time = now + 2 * KEPT_SECONDS + 7200  # as if a database's clock had stepped
    await server.relay.run_once()
    server.view.prune()
    assert store.entries == {("live", None)}
    assert len(server.view) == 1
    assert not server.view.is_fresh


async def test_a_relay_resigns_while_the_feed_is_cut(
    nodes: tuple[Plane, Plane], store: MemoryStore, feed: MemoryFeed
) -> None:
    server, _ = nodes
    await server.revoke("t1")
    async with server.running(relay=True):
        await until(lambda: feed.changes() and server.relay.is_elected)
        feed.cut()
        await until(lambda: not server.relay.is_elected)
        feed.flush()
        feed.mend()
        await until(feed.changes)
    assert await feed.tail() == Tail(1, store.marks[1])
