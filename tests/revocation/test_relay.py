"""What the relay does for the others, over memory: heartbeats, what a crash left behind, snapshots."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from almond_server.domain.feed import RevocationPage, Tail
from almond_server.domain.revocations import (
    KEPT_SECONDS,
    LINKED_SECONDS,
    Change,
    CutOff,
    Reading,
    Revocation,
    Scope,
)
from almond_server.domain.stores import Actor
from almond_server.errors import CannotKnowError
from almond_server.revocation.follower import Follower, Signals
from almond_server.revocation.index.view import RevocationView
from almond_server.revocation.relay import Relay
from fakes.election import MemoryElection
from fakes.feed import MemoryFeed
from fakes.revocations import MemoryRevocations
from fakes.store import MemoryStore
from support.clock import SetClock
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OFTEN = 0.01
OPERATOR = Actor("operator")


class Node:
    """A server that sees the shared feed, and a store of its own availability."""

    def __init__(self, store: MemoryStore, feed: MemoryFeed, clock: SetClock, box: list[object]) -> None:
        self.store = store
        self.feed = feed
        self.alarms = 0
        self.revocations = Cuttable(store)
        self.view = RevocationView(store.epoch, 5.0, clock)
        self.follower = Follower(
            self.revocations,
            feed,
            self.view,
            clock,
            OFTEN,
            Signals(lambda _: None, self._alarm, lambda _: None),
        )
        self.relay = Relay(MemoryElection(box), self.revocations, feed, self.follower, clock, OFTEN)

    def _alarm(self) -> None:
        self.alarms += 1

    @contextlib.asynccontextmanager
    async def running(self, *, relay: bool = True) -> AsyncIterator[None]:
        await self.follower.start()
        tasks = [asyncio.create_task(self.follower.run())]
        if relay:
            tasks.append(asyncio.create_task(self.relay.run()))
        try:
            yield
        finally:
            for task in tasks:
                assert not task.done()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Cuttable(MemoryRevocations):
    """One server's way to the store."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.is_cut = False

    async def reading(self, now: int) -> Reading:
        if self.is_cut:
            raise CannotKnowError("cut")
        return await super().reading(now)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def feed() -> MemoryFeed:
    return MemoryFeed()


@pytest.fixture
def nodes(store: MemoryStore, feed: MemoryFeed, clock: SetClock) -> tuple[Node, Node]:
    box: list[object] = []
    return Node(store, feed, clock, box), Node(store, feed, clock, box)


async def revoke(store: MemoryStore, *token_ids: str, ends_at: int | None = None) -> None:
    for token_id in token_ids:
        await MemoryRevocations(store).revoke([Revocation(token_id, None, ends_at)], OPERATOR, "", None, 0)


async def soon(good: object) -> None:
    async def look() -> bool:
        return bool(good()) if callable(good) else False

    await eventually(look, bool)


async def pass_time(clock: SetClock, seconds: float) -> None:
    """Let time go on in steps in which every background task comes to its turn."""
    for _ in range(round(seconds * 2)):
        clock.advance(0.5)
        await asyncio.sleep(0.03)


async def test_who_does_not_see_the_store_stays_fresh_by_heartbeats(
    nodes: tuple[Node, Node], store: MemoryStore, clock: SetClock
) -> None:
    here, there = nodes
    async with here.running(), there.running(relay=False):
        there.revocations.is_cut = True
        await pass_time(clock, 12)
        assert there.view.is_fresh
        await revoke(store, "t1")
        await soon(lambda: there.view.revision.number == 1)
        await pass_time(clock, 12)
        there.view.require_fresh()
        assert there.follower.heartbeat_age < 5
        assert (here.relay.is_elected, here.relay.lag) == (True, 0)


async def test_who_does_not_see_the_store_can_look_by_a_heartbeat_that_answers_a_later_question(
    nodes: tuple[Node, Node], clock: SetClock
) -> None:
    here, there = nodes
    async with here.running(), there.running(relay=False):
        there.revocations.is_cut = True
        clock.advance(0.1)
        asked_at = clock.monotonic()
        await there.follower.waits.until_read_since(asked_at)
        assert there.view.was_read_since(asked_at)
        here.revocations.is_cut = True
        clock.advance(0.1)
        with pytest.raises(CannotKnowError):
            await there.follower.waits.until_read_since(clock.monotonic())


async def test_without_a_relay_who_does_not_see_the_store_is_stale(
    nodes: tuple[Node, Node], clock: SetClock
) -> None:
    here, there = nodes
    async with here.running(relay=False), there.running(relay=False):
        there.revocations.is_cut = True
        await pass_time(clock, 6)
        assert here.view.is_fresh
        assert not there.view.is_fresh


async def test_a_relay_that_does_not_see_the_store_proves_nothing(
    nodes: tuple[Node, Node], clock: SetClock
) -> None:
    here, there = nodes
    async with here.running(), there.running(relay=False):
        here.revocations.is_cut = there.revocations.is_cut = True
        await pass_time(clock, 6)
        assert (here.view.is_fresh, there.view.is_fresh) == (False, False)


async def test_another_server_takes_over_from_a_relay_that_does_not_see_the_store(
    nodes: tuple[Node, Node], clock: SetClock
) -> None:
    here, there = nodes
    async with here.running():
        await asyncio.sleep(0.05)
        async with there.running():
            here.revocations.is_cut = True
            await pass_time(clock, 12)
            assert (here.view.is_fresh, there.view.is_fresh) == (True, True)


async def test_an_old_heartbeat_proves_nothing(
    nodes: tuple[Node, Node], feed: MemoryFeed, clock: SetClock
) -> None:
    here, there = nodes
    async with here.running(), there.running(relay=False):
        await pass_time(clock, 1)
        there.revocations.is_cut = True
        beats = list(feed._beats)
        assert beats
        here.relay._election = MemoryElection([object()])  # no more of them
        for _ in range(12):
            for beat in beats:
                await feed.send_heartbeat(beat)
            await pass_time(clock, 0.5)
        assert not there.view.is_fresh


async def test_a_heartbeat_ahead_of_the_view_proves_nothing(
    nodes: tuple[Node, Node], store: MemoryStore, clock: SetClock
) -> None:
    here, there = nodes
    async with here.running(), there.running(relay=False):
        there.revocations.is_cut = True
        await revoke(store, "t1", "t2")
        await soon(lambda: here.view.revision.number == 2)
        await soon(lambda: there.view.revision.number == 2)
        # Now a change is lost on its way to this one reader.
        there.view.set_revision(1, store.marks[1])
        await pass_time(clock, 6)
        assert not there.view.is_fresh


async def test_what_a_crash_left_unsent_is_brought_by_the_relay(
    nodes: tuple[Node, Node], store: MemoryStore, feed: MemoryFeed
) -> None:
    here, _ = nodes
    await revoke(store, *(f"t{each}" for each in range(5)))
    await feed.append(store.changes[0])
    async with here.running():
        await soon(lambda: len(feed._changes) == 5)
    assert feed._changes == store.changes


async def test_a_relay_tells_how_far_the_feed_is_behind_the_store(
    nodes: tuple[Node, Node], store: MemoryStore, feed: MemoryFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = nodes
    await revoke(store, "t1", "t2", "t3")
    await feed.append(store.changes[0])

    async def refuses(_: Change) -> bool:
        return False

    with monkeypatch.context() as patched:
        patched.setattr(feed, "append", refuses)
        await here.relay.run_once()
        assert here.relay.lag == 2
    await here.relay.run_once()
    assert here.relay.lag == 0


async def test_a_server_that_hears_no_heartbeat_counts_from_its_start(
    nodes: tuple[Node, Node], clock: SetClock
) -> None:
    here, _ = nodes
    assert here.follower.heartbeat_age == 0
    async with here.running(relay=False):
        await pass_time(clock, 2)
        assert here.follower.heartbeat_age == 2


async def test_a_flushed_feed_gets_the_newest_changes_again(
    nodes: tuple[Node, Node], store: MemoryStore, feed: MemoryFeed
) -> None:
    here, _ = nodes
    await revoke(store, *(f"t{each}" for each in range(1500)))
    async with here.running():
        await soon(lambda: feed._changes and feed._changes[-1].number == 1500)  # nobody is half-way
        feed.flush()
        await soon(lambda: len(feed._changes) == 1000)
        assert feed._changes == store.changes[-1000:]


async def test_a_feed_that_knows_what_the_store_does_not_is_an_alarm(
    nodes: tuple[Node, Node], store: MemoryStore, feed: MemoryFeed
) -> None:
    """The database was restored: what it has lost is in the feed, which must not be thrown away."""
    here, there = nodes
    await revoke(store, "t1", "t2", "lost")
    for change in store.changes:
        await feed.append(change)
    store.entries.discard(("lost", None))
    store.changes.pop()
    del store.marks[3]
    with pytest.raises(CannotKnowError, match="backwards"):
        await here.follower.start()
    await revoke(store, "else")  # it grows again
    with pytest.raises(CannotKnowError, match="backwards"):
        await there.follower.start()
    assert (here.alarms, there.alarms) == (1, 1)
    assert feed._changes[-1].revocations == (Revocation("lost", None, None),)


async def test_a_feed_whose_end_the_store_has_forgotten_is_restarted(
    nodes: tuple[Node, Node], store: MemoryStore, feed: MemoryFeed
) -> None:
    here, _ = nodes
    await revoke(store, "t1", "t2", "t3")
    await feed.append(Change(1, b"forgotten", b"", ()))
    del store.marks[1]
    async with here.running():
        await soon(lambda: feed._changes == store.changes)
    assert here.alarms == 0


def kept(feed: MemoryFeed) -> int | None:
    return feed._kept[0] if feed._kept is not None else None


async def test_the_first_snapshot_comes_at_once_and_later_ones_when_they_pay(
    nodes: tuple[Node, Node], store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    here, there = nodes
    await revoke(store, "t1")
    async with here.running():
        await soon(lambda: kept(feed) == 1)
        await revoke(store, "t2")
        await soon(lambda: feed._changes[-1].number == 2)
        assert kept(feed) == 1
        clock.advance(60)
        await soon(lambda: kept(feed) == 2)
        await revoke(store, *(f"u{each}" for each in range(1000)))
        await soon(lambda: kept(feed) == 1002)
    asked: list[int] = []
    whole_read = there.revocations.page

    async def counted(number: int, after: Revocation | None, limit: int) -> object:
        asked.append(number)
        return await whole_read(number, after, limit)

    there.revocations.page = counted  # type: ignore[assignment, method-assign]
    await there.follower.start()
    assert (len(there.view), there.view.revision.number, asked) == (1002, 1002, [])


async def test_the_snapshot_has_the_cut_offs(
    nodes: tuple[Node, Node], store: MemoryStore, feed: MemoryFeed
) -> None:
    here, _ = nodes
    cut_offs = [CutOff(Scope.SUBJECT, f"user:{each:04}", each) for each in range(2001)]
    await MemoryRevocations(store).revoke([], OPERATOR, "", None, 0, cut_offs)
    await revoke(store, *(f"t{each}" for each in range(1000)))
    async with here.running():
        found = await eventually(feed.snapshot, lambda snapshot: snapshot is not None)
    assert found is not None
    assert [each async for page in found.pages for each in page.cut_offs] == cut_offs


async def test_a_snapshot_of_another_past_is_not_loaded(
    nodes: tuple[Node, Node], store: MemoryStore, feed: MemoryFeed
) -> None:
    here, _ = nodes
    await revoke(store, "t1", "t2")
    feed._kept = (2, b"another!", [RevocationPage([Revocation("of another past", None, None)])])
    await here.follower.start()
    assert {each.token_id for each in here.view.entries()} == {"t1", "t2"}
    async with here.running():
        pass


async def test_what_is_over_is_pruned_from_the_store(
    nodes: tuple[Node, Node], store: MemoryStore, clock: SetClock
) -> None:
    here, _ = nodes
    now = clock.now_ms() // 1000
    await revoke(store, "over", ends_at=now - KEPT_SECONDS)
    await revoke(store, "later", ends_at=now + LINKED_SECONDS)
    async with here.running():
        clock.advance(61)
        await asyncio.sleep(0.05)
        assert len(store.entries) == 2  # not by a clock that may be wrong: an operator gets an hour to see it
        clock.advance(3600)
        await soon(lambda: store.entries == {("later", None)})


async def test_by_a_time_of_the_store_that_is_not_nothing_is_pruned(
    nodes: tuple[Node, Node], store: MemoryStore, clock: SetClock
) -> None:
    here, _ = nodes
    now = clock.now_ms() // 1000
    await revoke(store, "live", ends_at=now + 7200)
    await here.follower.start()
    clock.advance(3661)  # it is time to prune
    store.time = now + 2 * KEPT_SECONDS + 7200  # as if a database's clock had leapt
    await here.relay.run_once()
    here.view.prune()
    assert store.entries == {("live", None)}
    assert len(here.view) == 1
    assert not here.view.is_fresh


async def test_a_feed_that_is_cut_makes_the_relay_resign_and_stand_again(
    nodes: tuple[Node, Node], store: MemoryStore, feed: MemoryFeed
) -> None:
    here, _ = nodes
    await revoke(store, "t1")
    async with here.running():
        await soon(lambda: feed._changes and here.relay.is_elected)
        feed.cut()
        await soon(lambda: not here.relay.is_elected)
        feed.flush()
        feed.mend()
        await soon(lambda: feed._changes)
    assert await feed.tail() == Tail(1, store.marks[1])
