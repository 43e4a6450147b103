"""What every feed owes, over memory and over a real Valkey; then what only Redis can do wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from almond_server.adapters import feed_entry
from almond_server.adapters.memory_feed import MemoryFeed
from almond_server.adapters.redis_feed import STREAM, RedisFeed
from almond_server.adapters.valkey_child import ValkeyChild
from almond_server.errors import StartError
from almond_server.ports import Change, FeedUnavailableError
from contract.samples import part, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from almond_server.ports import Feed

KEY = bytes(range(32))
EPOCH = "0123abcd"


def change(number: int) -> Change:
    return Change(number, (whole(f"t{number}"), part(f"u{number}", 7)))


@dataclass
class Feeds:
    """Two servers' feeds."""

    mine: Feed
    theirs: Feed


class Listener:
    """Reads a feed in the background; entered once it is known to listen."""

    def __init__(self, reading: Feed, writing: Feed) -> None:
        self._reading = reading
        self._writing = writing
        self._heard: asyncio.Queue[tuple[str, Change]] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._listen())
        while self._heard.empty():  # markers, until the first arrives
            await self._writing.publish("marker", Change(0, ()))
            await asyncio.sleep(0.02)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def next(self) -> tuple[str, Change]:
        while (heard := await asyncio.wait_for(self._heard.get(), 4))[0] == "marker":
            pass
        return heard

    async def _listen(self) -> None:
        async for heard in self._reading.changes():
            self._heard.put_nowait(heard)


@pytest.fixture(params=["memory", "valkey"])
async def feeds(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Feeds]:
    if request.param == "memory":
        shared = MemoryFeed()
        yield Feeds(shared, shared)
        return
    with ValkeyChild(tmp_path) as child:
        mine, theirs = RedisFeed(child.url, KEY), RedisFeed(child.url, KEY)
        yield Feeds(mine, theirs)
        await mine.close()
        await theirs.close()


@pytest.fixture
async def feed(valkey: ValkeyChild) -> AsyncIterator[RedisFeed]:
    made = RedisFeed(valkey.url, KEY)
    yield made
    await made.close()


@pytest.fixture
async def redis(valkey: ValkeyChild) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey.url, protocol=2)
    yield client
    await client.aclose()


async def test_changes_arrive_whole_and_in_order(feeds: Feeds) -> None:
    async with Listener(feeds.mine, feeds.theirs) as listener:
        for number in range(1, 101):
            await feeds.theirs.publish(EPOCH, change(number))
        assert [await listener.next() for _ in range(100)] == [(EPOCH, change(n)) for n in range(1, 101)]


async def test_every_reader_hears_everything_the_publisher_included(feeds: Feeds) -> None:
    async with Listener(feeds.mine, feeds.mine) as one, Listener(feeds.theirs, feeds.mine) as two:
        await feeds.mine.publish(EPOCH, change(1))
        assert await one.next() == await two.next() == (EPOCH, change(1))


async def test_reading_starts_from_now(feeds: Feeds) -> None:
    await feeds.mine.publish(EPOCH, change(1))
    async with Listener(feeds.mine, feeds.theirs) as listener:
        await feeds.theirs.publish(EPOCH, change(2))
        assert await listener.next() == (EPOCH, change(2))


async def test_nothing_is_missed_while_the_reader_is_busy_or_waits_long(feeds: Feeds) -> None:
    async with Listener(feeds.mine, feeds.theirs) as listener:
        for number in (1, 2, 3):
            await asyncio.sleep(0.6)  # across the end of a blocking read
            await feeds.theirs.publish(EPOCH, change(number))
        assert [(await listener.next())[1].number for _ in range(3)] == [1, 2, 3]


async def test_the_memory_feed_can_be_cut_and_mended() -> None:
    feed = MemoryFeed()
    async with Listener(feed, feed) as listener:
        feed.cut()
        with pytest.raises(FeedUnavailableError):
            await listener.task
        with pytest.raises(FeedUnavailableError):
            await feed.publish(EPOCH, change(1))
    feed.mend()
    async with Listener(feed, feed) as listener:
        await feed.publish(EPOCH, change(2))
        assert await listener.next() == (EPOCH, change(2))


async def test_forged_and_garbled_entries_are_skipped_and_told_once(feed: RedisFeed, redis: Redis) -> None:
    genuine = feed_entry.encode(KEY, EPOCH, change(1))
    forged = [
        feed_entry.encode(bytes(32), EPOCH, change(1)),
        {**genuine, b"proof": bytes(32)},
        {**genuine, b"change": genuine[b"change"].replace(b"t1", b"t2")},
        {**genuine, b"change": genuine[b"change"].replace(EPOCH.encode(), b"ffffffff")},
        {**genuine, b"change": genuine[b"change"].replace(b",1,", b",2,")},
        {b"change": genuine[b"change"]},
        {b"proof": genuine[b"proof"]},
        {b"x": b"\xff\x00"},
    ]
    with capture_logs() as logs:
        async with Listener(feed, feed) as listener:
            for fields in forged:
                await redis.xadd(STREAM, fields)  # type: ignore[arg-type]
            await feed.publish(EPOCH, change(9))
            assert await listener.next() == (EPOCH, change(9))
    assert [each["event"] for each in logs] == ["feed.entry_rejected"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'["e",1]', b'["e","1",[]]', b'["e",1,[["t","zz",1]]]'])
def test_a_genuine_entry_of_another_form_is_none(body: bytes) -> None:
    proof = feed_entry._proof(KEY, body)
    assert feed_entry.decode(KEY, {b"change": body, b"proof": proof}) is None


async def test_a_flushed_server_loses_only_what_it_held(feed: RedisFeed, redis: Redis) -> None:
    async with Listener(feed, feed) as listener:
        await feed.publish(EPOCH, change(1))
        assert (await listener.next())[1].number == 1
        await redis.flushall()
        await feed.publish(EPOCH, change(2))
        assert (await listener.next())[1].number == 2


async def test_a_stream_that_starts_over_with_lower_ids_is_read(feed: RedisFeed, redis: Redis) -> None:
    async with Listener(feed, feed) as listener:
        await redis.flushall()
        entry = feed_entry.encode(KEY, EPOCH, change(1))
        await redis.xadd(STREAM, entry, id="1-1")  # type: ignore[arg-type]
        assert await listener.next() == (EPOCH, change(1))


async def test_the_stream_stays_short(feed: RedisFeed, redis: Redis) -> None:
    async with redis.pipeline(transaction=False) as filling:
        for _ in range(15_000):
            _ = filling.xadd(STREAM, {"x": "y"})
        await filling.execute()
    await feed.publish(EPOCH, change(1))
    assert await redis.xlen(STREAM) <= 10_200


async def test_a_killed_server_is_noticed_within_two_and_a_half_seconds(
    feed: RedisFeed, valkey: ValkeyChild
) -> None:
    async with Listener(feed, feed) as listener:
        began = time.monotonic()
        os.kill(valkey.pid, signal.SIGKILL)
        with pytest.raises(FeedUnavailableError):
            await listener.task
        with pytest.raises(FeedUnavailableError):
            await feed.publish(EPOCH, change(1))
        assert time.monotonic() - began < 2.5


async def test_a_silent_server_is_noticed_within_two_and_a_half_seconds(
    feed: RedisFeed, valkey: ValkeyChild
) -> None:
    async with Listener(feed, feed) as listener:
        began = time.monotonic()
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            with pytest.raises(FeedUnavailableError):
                await feed.publish(EPOCH, change(1))
            with pytest.raises(FeedUnavailableError):
                await listener.task
            assert time.monotonic() - began < 2.5
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
    async with Listener(feed, feed) as listener:  # and works again afterwards, replies in their place
        await feed.publish(EPOCH, change(2))
        heard = await listener.next()
        assert heard in {(EPOCH, change(1)), (EPOCH, change(2))}


@pytest.mark.parametrize("delay_seconds", [0, 0.0002, 0.001, 0.3])
async def test_a_reader_can_be_cancelled_at_any_time(feed: RedisFeed, delay_seconds: float) -> None:
    for number in range(5):
        async with Listener(feed, feed) as listener:
            await feed.publish(EPOCH, change(number))
            await asyncio.sleep(delay_seconds)  # the answer may just be arriving
            listener.task.cancel()
            done, _ = await asyncio.wait([listener.task], timeout=0.5)
            assert done


async def test_no_server_at_all_is_unavailable_and_betrays_no_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        feed = RedisFeed(f"redis://user:hunter2@127.0.0.1:{port}/0", KEY)
        with pytest.raises(FeedUnavailableError) as refused:
            await feed.publish(EPOCH, change(1))
    await feed.close()
    assert "hunter2" not in f"{refused.value!r}{refused.value.__cause__!r}{feed!r}"


@pytest.mark.parametrize(
    "url", ["http://x:hunter2@y", "hunter2", "redis://:hunter2/@x:port", "redis://x:hunter2/0"]
)
def test_a_url_of_another_form_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StartError) as refused:
        RedisFeed(url, KEY)
    assert "hunter2" not in f"{refused.value!r}{refused.value.__cause__!r}"


async def test_the_url_cannot_lengthen_the_time_limits(tmp_path: Path, valkey: ValkeyChild) -> None:
    feed = RedisFeed(f"{valkey.url}?socket_timeout=60&socket_connect_timeout=60&protocol=3", KEY)
    os.kill(valkey.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(FeedUnavailableError):
            await feed.publish(EPOCH, change(1))
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    assert time.monotonic() - began < 2.5
    await feed.close()
