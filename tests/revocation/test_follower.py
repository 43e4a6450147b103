"""The follower applies changes from store and feed; every fault heals, or makes the view stale."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from almond_server.domain.feed import Heartbeat, RevocationPage, Snapshot
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import LINKED_SECONDS, Change, CutOff, Reading, Revocation, Scope
from almond_server.errors import CannotKnowError, StoreUnavailableError, WrongRevisionError
from almond_server.revocation import loader
from fakes.feed import MemoryFeed
from fakes.store import MemoryStore
from support.clock import SetClock
from support.feeds import pages_of
from support.plane import OFTEN, SELDOM, Plane, StoreAccess
from support.samples import OPERATOR
from support.waiting import until


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def feed() -> MemoryFeed:
    return MemoryFeed()


@pytest.mark.parametrize("path", ["feed", "store", "snapshot", "page by page"])
async def test_a_cut_off_reaches_a_server_by_every_path(clock: SetClock, path: str) -> None:
    store, feed = MemoryStore(), MemoryFeed()
    server = Plane(clock, store, feed, poll_seconds=OFTEN if path == "store" else SELDOM)
    other = Plane(clock, store, feed)
    cut_off = CutOff(Scope.ORG, "acme", 7)

    async def revoke_org() -> None:
        await other.revocations.revoke([Revocation("t", None, None)], OPERATOR, "", None, 0, [cut_off])

    if path in {"feed", "store"}:
        async with server.running():
            await revoke_org()
            if path == "feed":
                (change,) = await other.revocations.changes_after(0, 9)
                await feed.append(change)
            await until(lambda: server.number == 1)
    else:
        await revoke_org()
        if path == "snapshot":
            mark = await other.revocations.mark_of(1)
            await feed.publish_snapshot(
                Snapshot(1, mark or b"", pages_of(RevocationPage((), [cut_off]), RevocationPage([])))
            )
            store.cut_offs.clear()  # so that it cannot come from the store
        await server.follower.start()
    assert (server.number, list(server.view.cut_offs())) == (1, [cut_off])


async def test_catching_up_applies_every_change_and_proves_the_view(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    await server.revoke(*(f"t{number}" for number in range(2500)))
    await server.follower.catch_up()
    assert (server.number, len(server.view), server.view.is_fresh) == (2500, 2500, True)


async def test_a_change_that_one_server_read_first_reaches_others_by_the_feed(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server, other = Plane(clock, store, feed), Plane(clock, store, feed)
    async with server.running(), other.running():
        await server.revoke("t1", "t2")
        await server.follower.catch_up()
        await other.reaches(2)


async def test_a_gap_in_the_feed_heals_from_the_store(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    async with server.running():
        await server.revoke("t1", "t2", "t3")
        assert server.number == 0
        await feed.append(store.changes[2])
        await server.reaches(3)
    assert server.follower.gaps >= 1


@pytest.mark.parametrize("way", ["feed", "store", "store as a whole"])
async def test_a_large_change_is_applied_in_slices_and_counts_at_the_end(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(loader, "_YIELD_SECONDS", 0.0)  # as if every slice took long
    server, seen = Plane(clock, store, feed), set[tuple[int, int]]()
    entries = [Revocation(f"t{number}", None, None) for number in range(2000)]
    async with server.running():
        await server.revocations.revoke(entries, OPERATOR, "", None, 0)
        applying: asyncio.Task[Any]
        match way:
            case "feed":
                applying = asyncio.create_task(feed.append(store.changes[0]))
            case "store":
                applying = asyncio.create_task(server.follower.catch_up())
            case _:
                reading = await server.revocations.reading(0)
                applying = asyncio.create_task(loader.from_store(server.view, server.revocations, reading))
        while server.number == 0:
            seen.add((server.number, len(server.view)))
            await asyncio.sleep(0)
        await applying
    assert seen >= {(0, count) for count in range(200, 2000, 200)}
    assert (server.number, len(server.view)) == (1, 2000)


async def test_a_large_change_applied_twice_at_once_counts_once(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "_YIELD_SECONDS", 0.0)
    server = Plane(clock, store, feed)
    entries = [Revocation(f"t{number}", None, None) for number in range(2000)]
    async with server.running():
        await server.revocations.revoke(entries, OPERATOR, "", None, 0)
        await server.revoke("after")
        await asyncio.gather(server.follower.catch_up(), *(feed.append(each) for each in store.changes))
        await server.reaches(2)
        assert (len(server.view), server.view.is_fresh) == (2001, True)


async def test_the_feed_alone_brings_changes_to_a_server_without_the_store(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    async with server.running():
        await server.revoke("t1", "t2")
        store.available = False
        for change in store.changes:
            await feed.append(change)
        await server.reaches(2)
        clock.advance(5.1)  # more changes do not prove that these are all
        with pytest.raises(CannotKnowError):
            server.view.require_fresh()


async def test_a_change_of_another_past_is_not_applied(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    async with server.running():
        await server.revoke("t1", "t2")
        await server.follower.catch_up()
        await until(lambda: len(feed.changes()) == 2)
        # Genuine, and next by its number, but of a past that a restore of the database has undone.
        await feed.restart()
        gaps = server.follower.gaps
        assert await feed.append(Change(3, b"undone", b"undone before", (Revocation("undone", None, None),)))
        await until(lambda: server.follower.gaps > gaps)
        assert server.number == 2
        assert server.view.is_fresh
    assert {each.token_id for each in server.view.entries()} == {"t1", "t2"}


async def test_a_change_that_only_a_lost_store_had_is_applied_and_reveals_the_loss(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    async with server.running():
        await server.revoke("t1")
        await server.follower.catch_up()
        # It continues this server's past, but the store has lost it.
        mark = store.marks[1]
        await feed.restart()
        await feed.append(Change(2, b"lost", mark, (Revocation("lost", None, None),)))
        await server.reaches(2)
        with pytest.raises(CannotKnowError, match="backwards"):
            await server.follower.catch_up()
    assert {each.token_id for each in server.view.entries()} == {"t1", "lost"}


async def test_a_poll_heals_what_a_cut_feed_lost(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed, poll_seconds=OFTEN)
    async with server.running():
        feed.cut()
        await server.revoke("t1")
        await server.reaches(1)
        feed.mend()
        await until(lambda: bool(feed.readers))
    assert server.freshness == [True]


async def test_a_gap_heals_when_the_store_answers_again(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed, poll_seconds=OFTEN)
    async with server.running():
        await server.revoke("t1", "t2")
        store.available = False
        gaps = server.follower.gaps
        await feed.append(Change(server.number + 5, b"", b"", ()))
        await until(lambda: server.follower.gaps > gaps)
        assert server.number <= 2
        store.available = True
        await server.reaches(2)


async def test_a_store_that_does_not_answer_makes_the_view_stale_until_it_does(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed, poll_seconds=OFTEN)
    async with server.running():
        store.available = False
        with pytest.raises(StoreUnavailableError):
            await server.follower.catch_up()
        server.view.require_fresh()
        clock.advance(5.1)
        with pytest.raises(CannotKnowError):
            server.view.require_fresh()
        await until(lambda: server.freshness == [True, False])
        store.available = True
        await until(lambda: server.freshness == [True, False, True])
        server.view.require_fresh()


async def test_a_store_that_went_backwards_never_proves_the_view(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed, poll_seconds=OFTEN)
    await server.revoke("t1", "t2")
    async with server.running():
        store.changes.pop()
        del store.marks[2]
        with pytest.raises(CannotKnowError, match="backwards"):
            await server.follower.catch_up()
        # At once, not only past the bound: a token minted now would be minted in another past.
        with pytest.raises(CannotKnowError, match="backwards"):
            server.view.require_fresh()
        await until(lambda: server.freshness == [True, False])
        # New revisions get the same numbers again; only an operator can tell them apart.
        await server.revoke("t3", "t4")
        with pytest.raises(CannotKnowError):
            await server.follower.catch_up()
        await asyncio.sleep(0.05)
        assert server.freshness == [True, False]
        assert (server.number, server.alarms) == (2, 1)


async def test_an_exchanged_store_never_proves_the_view(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    await server.revoke("t1")
    await server.follower.catch_up()
    store.epoch = "ffffffff"
    await server.revoke("t2", "t3")
    clock.advance(5.1)
    with pytest.raises(CannotKnowError):
        await server.follower.catch_up()
    assert not server.view.is_fresh
    assert server.number == 1


async def test_a_gap_in_the_store_itself_never_proves_the_view(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    await server.revoke("t1", "t2", "t3")
    del store.changes[1]
    with pytest.raises(CannotKnowError, match="gap"):
        await server.follower.catch_up()
    assert (server.number, server.view.is_fresh) == (1, False)


async def test_a_store_that_was_restored_and_grew_again_is_an_alarm(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    for grown in (1, 2):  # to the server's own revision, and beyond it
        server = Plane(clock, store, feed)
        await server.revoke(f"a{grown}")
        await server.follower.catch_up()
        store.changes.pop()
        del store.marks[grown]
        await server.revoke(*(f"b{grown}.{each}" for each in range(grown)))
        with pytest.raises(CannotKnowError, match="backwards"):
            await server.follower.catch_up()
        assert not server.view.is_fresh


async def test_a_server_that_was_down_for_days_reads_everything_again(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    await server.revoke("t1")
    await server.follower.catch_up()
    await server.revoke("t2", "t3")
    store.time += LINKED_SECONDS + 1
    assert await server.revocations.prune(10)
    store.time = 0
    assert server.follower.resyncs == 0
    await server.follower.catch_up()
    assert (server.number, len(server.view), server.view.is_fresh) == (3, 3, True)
    assert server.follower.resyncs == 1


async def test_a_feed_full_of_forgeries_causes_few_reads_of_the_store(
    store: MemoryStore, clock: SetClock
) -> None:
    class Forged(MemoryFeed):
        async def follow(self, seen: Callable[[], int]) -> AsyncIterator[Change | Heartbeat | None]:
            self.readers += 1
            while True:
                await asyncio.sleep(0)
                yield None

    class Counted(StoreAccess):
        readings = 0

        async def reading(self, now: int) -> Reading:
            self.readings += 1
            return await super().reading(now)

    revocations = Counted(store)
    server = Plane(clock, store, Forged(), revocations=revocations)
    async with server.running():
        await asyncio.sleep(0.5)
    assert 2 < revocations.readings <= 40


async def test_the_age_of_a_slow_reading_counts_from_its_start(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    class Slow(StoreAccess):
        async def reading(self, now: int) -> Reading:
            read = await super().reading(now)
            clock.advance(5.1)
            return read

    server = Plane(clock, store, feed, revocations=Slow(store))
    await server.follower.catch_up()
    assert not server.view.is_fresh


async def test_a_clock_that_stepped_is_not_written_to_the_store(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    await server.follower.catch_up()
    clock.wall_ms += 3_600_000
    with pytest.raises(CannotKnowError, match="clock"):
        await server.follower.catch_up()
    clock.wall_ms -= 3_600_000
    await server.follower.catch_up()
    assert server.view.store_time == clock.wall_ms // 1000


async def test_a_revision_is_reached_by_reading_the_store(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server = Plane(clock, store, feed)
    await server.revoke("t1")
    clock.advance(1)
    await server.follower.waits.until_revision(Revision(store.epoch, 1), clock.monotonic())
    assert server.number == 1
    clock.advance(1)
    for wrong in (Revision(store.epoch, 2), Revision("ffffffff", 1)):
        with pytest.raises(WrongRevisionError):
            await server.follower.waits.until_revision(wrong, clock.monotonic())


async def test_a_read_that_began_before_a_call_does_not_answer_it(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    class Late(StoreAccess):
        async def reading(self, now: int) -> Reading:
            read = await super().reading(now)
            began.set()
            await go_on.wait()
            return read

    began, go_on = asyncio.Event(), asyncio.Event()
    server = Plane(clock, store, feed, revocations=Late(store))
    first = asyncio.create_task(
        server.follower.waits.until_revision(Revision(store.epoch, 1), clock.monotonic())
    )
    await began.wait()
    clock.advance(1)
    await server.revoke("t1")  # after the reading under way, before the second call
    second = asyncio.create_task(
        server.follower.waits.until_revision(Revision(store.epoch, 1), clock.monotonic())
    )
    await asyncio.sleep(0.1)
    go_on.set()
    await second
    with pytest.raises(WrongRevisionError):  # there was no such revision when the call began
        await first
    assert server.number == 1


async def test_catching_up_twice_at_once_reads_every_change_once(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    reads: list[int] = []

    class Counting(StoreAccess):
        async def changes_after(self, number: int, limit: int) -> Sequence[Change]:
            reads.append(number)
            return await super().changes_after(number, limit)

    server = Plane(clock, store, feed, revocations=Counting(store))
    await server.revoke("t1", "t2")
    await asyncio.gather(*(server.follower.catch_up() for _ in range(5)))
    assert (server.number, reads) == (2, [0])


async def test_a_feed_that_cannot_be_written_only_delays_changes(
    store: MemoryStore, feed: MemoryFeed, clock: SetClock
) -> None:
    server, other = Plane(clock, store, feed), Plane(clock, store, feed, poll_seconds=OFTEN)
    async with server.running(), other.running():
        feed.cut()
        await server.revoke("t1")
        await server.follower.catch_up()
        await other.reaches(1)
