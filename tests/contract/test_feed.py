"""What every feed owes: in memory, and in a real Valkey alone, behind sentinels and in a cluster."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.redis.feed import RedisFeed
from almond_server.domain.feed import FeedUnavailableError, RevocationPage, Snapshot, Tail
from almond_server.domain.revocations import Change, CutOff, Revocation, Scope
from fakes.feed import MemoryFeed
from support.feeds import EPOCH, KEY, NONCE, Feeds, Listener, beat, change, mark
from support.samples import part, whole
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from almond_server.domain.feed import Feed
    from almond_server.ops.valkey_child import ValkeyChild


@pytest.fixture(params=["memory", "valkey", "sentinel", "cluster"])
async def feeds(request: pytest.FixtureRequest) -> AsyncIterator[Feeds]:
    if request.param == "memory":
        shared = MemoryFeed()
        yield Feeds(shared, shared)
        return
    url = request.getfixturevalue(f"{request.param}_url")
    mine, theirs = RedisFeed(url, KEY, EPOCH), RedisFeed(url, KEY, EPOCH)
    yield Feeds(mine, theirs)
    await mine.close()
    await theirs.close()


@pytest.fixture
def valkey_url(valkey: ValkeyChild) -> str:
    return valkey.url


@pytest.fixture(params=["memory", "valkey"])
async def one_to_cut(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Feed, Callable[[], None]]]:
    """A feed of the test's own, and how to stop its server."""
    if request.param == "memory":
        alone = MemoryFeed()
        yield alone, alone.cut
        return
    child: ValkeyChild = request.getfixturevalue("valkey")
    feed = RedisFeed(child.url, KEY, EPOCH)
    yield feed, child.stop
    await feed.close()


async def objects(feed: Feed) -> str | None:
    return feed.problem


async def test_nothing_is_objected_to_a_feed_that_is_followed_and_something_to_one_that_is_gone(
    one_to_cut: tuple[Feed, Callable[[], None]],
) -> None:
    feed, cut = one_to_cut
    assert feed.problem
    async with Listener(feed):
        await eventually(lambda: objects(feed), lambda problem: problem is None)
        cut()
        problem = await eventually(lambda: objects(feed), bool)
        assert problem is not None
        assert problem.isascii()
        assert problem.isprintable()


async def test_changes_arrive_whole_and_in_order(feeds: Feeds) -> None:
    async with Listener(feeds.mine) as listener:
        for number in range(1, 101):
            assert await feeds.theirs.append(change(number))
        assert [await listener.next() for _ in range(100)] == [change(number) for number in range(1, 101)]


async def test_every_reader_hears_everything_who_appended_it_included(feeds: Feeds) -> None:
    async with Listener(feeds.mine) as one, Listener(feeds.theirs) as two:
        await feeds.mine.append(change(1))
        assert await one.next() == await two.next() == change(1)


async def test_reading_goes_on_after_what_was_seen(feeds: Feeds) -> None:
    for number in (5, 6, 7):
        await feeds.mine.append(change(number))
    async with Listener(feeds.mine, seen=6) as listener:
        assert await listener.next() == change(7)


async def test_nothing_is_missed_while_the_reader_is_busy_or_waits_long(feeds: Feeds) -> None:
    async with Listener(feeds.mine) as listener:
        for number in (1, 2, 3):
            await asyncio.sleep(0.6)  # across the end of a blocking read
            await feeds.theirs.append(change(number))
        assert [(await listener.next_change()).number for _ in range(3)] == [1, 2, 3]


async def test_a_change_is_appended_right_after_the_one_before_it_alone(feeds: Feeds) -> None:
    assert await feeds.mine.tail() is None
    assert await feeds.mine.append(change(5))  # to an empty feed, any
    assert not await feeds.theirs.append(change(7))
    assert await feeds.theirs.append(change(5))  # it is there already
    assert await feeds.theirs.append(change(4))
    assert await feeds.theirs.append(change(6))
    assert await feeds.mine.tail() == Tail(6, mark(6))
    async with Listener(feeds.mine) as listener:
        assert [await listener.next() for _ in range(2)] == [change(5), change(6)]


async def test_servers_that_append_the_same_changes_leave_each_once(feeds: Feeds) -> None:
    async def append(feed: object) -> None:
        for number in range(1, 31):
            await feeds.mine.append(change(number))
            await asyncio.sleep(0)

    await asyncio.gather(*(append(feed) for feed in (feeds.mine, feeds.theirs)))
    async with Listener(feeds.mine) as listener:
        assert [await listener.next() for _ in range(30)] == [change(number) for number in range(1, 31)]


async def test_a_restarted_feed_begins_anywhere(feeds: Feeds) -> None:
    await feeds.mine.append(change(9))
    await feeds.mine.restart()
    assert await feeds.mine.tail() is None
    assert await feeds.mine.append(change(3))
    async with Listener(feeds.theirs) as listener:
        assert await listener.next() == change(3)


@pytest.mark.parametrize("count", [0, 999, 1000, 1001, 4500])
async def test_a_change_of_any_size_arrives_whole(feeds: Feeds, count: int) -> None:
    entries: list[Revocation] = [whole(f"t{each:05}") for each in range(count)]
    large = change(1, *entries) if count else change(1)
    async with Listener(feeds.mine) as listener:
        assert await feeds.theirs.append(large)
        assert await feeds.mine.append(change(2))
        assert [await listener.next_change() for _ in range(2)] == [large, change(2)]
    assert await feeds.mine.tail() == Tail(2, mark(2))


async def test_heartbeats_name_those_who_asked_once(feeds: Feeds) -> None:
    await feeds.mine.challenge(NONCE)
    await feeds.mine.challenge(NONCE[::-1])
    assert list(await feeds.theirs.pending_challenges()) == [NONCE, NONCE[::-1]]
    assert list(await feeds.theirs.pending_challenges()) == []
    async with Listener(feeds.mine) as listener:
        await feeds.theirs.send_heartbeat(beat(3, NONCE, NONCE[::-1]))
        assert await listener.next() == beat(3, NONCE, NONCE[::-1])
        await feeds.theirs.send_heartbeat(beat(4))
        while (heard := await listener.next()) != beat(4):
            assert heard == beat(3, NONCE, NONCE[::-1])


async def pages_of(*pages: Sequence[Revocation]) -> AsyncIterator[RevocationPage]:
    for page in pages:
        yield RevocationPage(page)


async def kept(feeds: Feeds) -> tuple[int, bytes, list[Revocation]] | None:
    found = await feeds.mine.snapshot()
    if found is None:
        return None
    return found.number, found.mark, [entry async for page in found.pages for entry in page.revocations]


async def test_the_newest_snapshot_is_kept_whole(feeds: Feeds) -> None:
    assert await kept(feeds) is None
    first = [whole("a"), part("b", 1), Revocation("c", None, None)]
    await feeds.theirs.publish_snapshot(Snapshot(7, mark(7), pages_of(first[:2], first[2:])))
    assert await kept(feeds) == (7, mark(7), first)
    await feeds.mine.publish_snapshot(Snapshot(9, mark(9), pages_of([whole("d")])))
    assert await kept(feeds) == (9, mark(9), [whole("d")])
    await feeds.mine.publish_snapshot(Snapshot(10, mark(10), pages_of()))
    assert await kept(feeds) == (10, mark(10), [])


async def test_a_snapshot_can_be_read_to_its_end_while_another_takes_its_place(feeds: Feeds) -> None:
    await feeds.theirs.publish_snapshot(Snapshot(7, mark(7), pages_of([whole("a")], [whole("b")])))
    found = await feeds.mine.snapshot()
    assert found is not None
    assert found.page_count == 2
    first = await anext(aiter(found.pages))
    await feeds.theirs.publish_snapshot(Snapshot(9, mark(9), pages_of([whole("c")])))
    rest = [entry async for page in found.pages for entry in page.revocations]
    assert [*first.revocations, *rest] == [whole("a"), whole("b")]


async def test_cut_offs_travel_with_changes_and_snapshots(feeds: Feeds) -> None:
    cut_offs = tuple(CutOff(Scope.SUBJECT, f"user:{each}", each) for each in range(2001))
    raised = replace(change(1), cut_offs=(CutOff(Scope.ORG, "acme", 7), CutOff(Scope.KEY, "k1", None)))
    large = Change(2, mark(2), mark(1), (whole("a"),), cut_offs)
    async with Listener(feeds.mine) as listener:
        for each in (raised, large):
            assert await feeds.theirs.append(each)
            assert await listener.next() == each
    await feeds.theirs.publish_snapshot(Snapshot(2, mark(2), cut_off_pages(cut_offs)))
    found = await feeds.mine.snapshot()
    assert found is not None
    assert [each async for page in found.pages for each in page.cut_offs] == list(cut_offs)
    recalled = [each async for page in feeds.mine.salvage() for each in page.cut_offs]
    assert set(recalled) == {*cut_offs, *raised.cut_offs}


async def cut_off_pages(cut_offs: Sequence[CutOff]) -> AsyncIterator[RevocationPage]:
    yield RevocationPage((), cut_offs[:2000])
    yield RevocationPage([whole("a")], cut_offs[2000:])


async def test_the_memory_feed_can_be_cut_and_mended() -> None:
    feed = MemoryFeed()
    async with Listener(feed) as listener:
        await asyncio.sleep(0)
        feed.cut()
        with pytest.raises(FeedUnavailableError):
            await listener.task
        with pytest.raises(FeedUnavailableError):
            await feed.append(change(1))
    feed.mend()
    async with Listener(feed) as listener:
        await feed.append(change(2))
        assert await listener.next() == change(2)
