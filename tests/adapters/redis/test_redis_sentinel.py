"""Redis behind sentinels: the master is found, lost and found elsewhere; nothing waits or stays lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.redis.feed import RedisFeed, epochs
from almond_server.data_dir import master_key
from almond_server.domain.feed import FeedUnavailableError
from almond_server.domain.revocations import Change
from support.feeds import EPOCH, KEY, change
from support.redis_sentinels import MASTER, Watched, hurry, remembering, watched
from support.redis_servers import RedisServer
from support.samples import OPERATOR, whole
from support.service import almond
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from support.service import Almond

_FINDING_SECONDS = 2.5  # the reader's retry (0.5 s), and one attempt
_NOTICING_SECONDS = 2.5


@pytest.fixture
def well(sentinels: Watched) -> Iterator[Watched]:
    """The module's sentinels; what a test does to them is repaired afterwards."""
    sentinels.master.do("FLUSHALL")
    yield sentinels
    sentinels.mend()


@pytest.fixture
async def feed(well: Watched) -> AsyncIterator[RedisFeed]:
    made = RedisFeed(well.url, KEY, EPOCH)
    yield made
    await made.close()


async def appends(feed: RedisFeed, number: int) -> bool:
    try:
        return await feed.append(change(number))
    except FeedUnavailableError:
        return False


async def read_for_ever(feed: RedisFeed, heard: list[int]) -> None:
    """Read as a server does: again after every fault."""
    while True:
        with contextlib.suppress(FeedUnavailableError):
            async for each in feed.follow(lambda: heard[-1] if heard else 0):
                if isinstance(each, Change) and each.number not in heard:
                    heard.append(each.number)
        await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def plane(data_dir: Path, url: str) -> AsyncIterator[tuple[Almond, RedisFeed, list[int]]]:
    """A service with its relay, and a reader that has the feed only."""
    async with almond(data_dir, redis_url=url) as running:
        epoch = running.app.follower._view.revision.epoch
        feed = RedisFeed(url, master_key.feed_key(master_key.read(running.settings.master_key)), epoch)
        heard: list[int] = []
        tasks = [
            asyncio.create_task(running.app.relay.run()),
            asyncio.create_task(read_for_ever(feed, heard)),
        ]
        try:
            yield running, feed, heard
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await feed.close()


async def revoke(running: Almond, name: str) -> None:
    await running.app.store.revocations.revoke([whole(name)], OPERATOR, "", None, int(time.time()))


async def hears(heard: list[int], number: int, seconds: float) -> None:
    async def look() -> list[int]:
        return heard

    await eventually(look, lambda seen: number in seen, seconds)


async def test_after_kill_9_of_the_master_changes_go_on_at_the_new_one(well: Watched, tmp_path: Path) -> None:
    async with plane(tmp_path / "data", well.url) as (running, feed, heard):
        await revoke(running, "before")
        await hears(heard, 1, 3)
        killing = asyncio.create_task(asyncio.to_thread(well.fail_over, well.master.kill))
        await asyncio.sleep(0.1)
        await revoke(running, "while there is no master")
        await killing
        await hears(heard, 2, _FINDING_SECONDS)
        await revoke(running, "after")
        await hears(heard, 3, _FINDING_SECONDS)
        tail = await feed.tail()
        assert tail is not None
        assert tail.number == 3


async def test_what_the_new_master_never_got_is_appended_again(well: Watched, tmp_path: Path) -> None:
    async with plane(tmp_path / "data", well.url) as (running, _, heard):
        for number in range(1, 6):
            await revoke(running, f"t{number}")
        await hears(heard, 5, 3)
        well.replica.do("CONFIG", "SET", "replica-read-only", "no")
        well.replica.do("FLUSHALL")
        await asyncio.to_thread(well.fail_over, well.master.kill)
        heard.clear()  # as a server that starts now and cannot reach the store
        await hears(heard, 5, 4)
        assert heard == [1, 2, 3, 4, 5]


async def test_a_master_that_is_paused_is_given_up_and_the_new_one_is_found(
    well: Watched, feed: RedisFeed
) -> None:
    await feed.append(change(1))
    paused = well.master
    failing = asyncio.create_task(asyncio.to_thread(well.fail_over, paused.pause))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(FeedUnavailableError):
        await feed.append(change(2))
    assert time.monotonic() - began < _NOTICING_SECONDS
    await failing
    assert await eventually(lambda: appends(feed, 2), bool, _FINDING_SECONDS)
    paused.resume()
    await eventually(lambda: asyncio.to_thread(paused.do, "ROLE"), lambda role: role[0] == "slave")
    assert await eventually(lambda: appends(feed, 3), bool, _FINDING_SECONDS)
    assert well.master.do("EXISTS", f"{{almond}}:{EPOCH}:changes") == 1


async def test_a_planned_failover_costs_a_moment(tmp_path: Path) -> None:
    with watched(tmp_path) as own:
        hurry(own.sentinels, "1000")
        feed = RedisFeed(own.url, KEY, EPOCH)
        await feed.append(change(1))
        sentinel = own.sentinels[0]
        await asyncio.to_thread(own.fail_over, lambda: sentinel.do("SENTINEL", "FAILOVER", MASTER))
        assert await eventually(lambda: appends(feed, 2), bool, _FINDING_SECONDS)
        await feed.close()


async def test_a_silent_and_a_dead_sentinel_keep_nobody_from_the_master(well: Watched) -> None:
    well.sentinels[0].pause()
    well.sentinels[1].kill()
    feed = RedisFeed(well.url, KEY, EPOCH)
    began = time.monotonic()
    assert await feed.append(change(1))
    assert time.monotonic() - began < 1.2
    await feed.close()


async def test_silent_sentinels_are_unavailable_in_time(well: Watched) -> None:
    for each in well.sentinels:
        each.pause()
    feed = RedisFeed(well.url, KEY, EPOCH)
    began = time.monotonic()
    with pytest.raises(FeedUnavailableError):
        await feed.append(change(1))
    assert time.monotonic() - began < _NOTICING_SECONDS
    await feed.close()


async def test_of_sentinels_that_differ_who_knows_the_newest_failover_is_believed(tmp_path: Path) -> None:
    new, old = RedisServer(tmp_path).start(), RedisServer(tmp_path).start()
    sentinels = [
        remembering(tmp_path, server.port, epoch) for server, epoch in ((old, 3), (new, 12), (old, 4))
    ]
    feed = RedisFeed(f"redis+sentinel://{','.join(each.address for each in sentinels)}/{MASTER}", KEY, EPOCH)
    try:
        assert await feed.append(change(1))
        assert (new.do("DBSIZE"), old.do("DBSIZE")) == (1, 0)
    finally:
        await feed.close()
        for each in (new, old, *sentinels):
            each.kill()


async def test_a_name_that_no_sentinel_knows_is_unavailable(sentinels: Watched) -> None:
    feed = RedisFeed(sentinels.url.replace(f"/{MASTER}", "/other"), KEY, EPOCH)
    with pytest.raises(FeedUnavailableError, match="no sentinel reports the master"):
        await feed.append(change(1))
    await feed.close()


@pytest.mark.parametrize("delay_seconds", [0, 0.0005, 0.001, 0.002, 0.004, 0.008])
async def test_whoever_looks_for_the_master_can_be_cancelled(sentinel_url: str, delay_seconds: float) -> None:
    feed = RedisFeed(sentinel_url, KEY, EPOCH)
    looking = asyncio.create_task(feed.append(change(1)))
    await asyncio.sleep(delay_seconds)
    looking.cancel()
    done, _ = await asyncio.wait([looking], timeout=0.5)
    assert done
    assert await feed.append(change(1))
    assert await feed.append(change(2))
    await feed.close()


async def test_what_epochs_there_are_is_seen_behind_sentinels(sentinel_url: str) -> None:
    feed = RedisFeed(sentinel_url, KEY, EPOCH)
    await feed.append(change(1))
    await feed.close()
    assert await epochs(sentinel_url) == [EPOCH]


async def test_a_replica_takes_nothing_and_is_left(tmp_path: Path) -> None:
    """A host name that resolves to the master, when the master changes and connections stay open."""
    server, elsewhere = RedisServer(tmp_path).start(), RedisServer(tmp_path).start()
    feed = RedisFeed(f"redis://{server.address}", KEY, EPOCH)
    try:
        assert await feed.append(change(1))
        before = _connections(server)
        server.do("REPLICAOF", "127.0.0.1", elsewhere.port)
        for _ in range(3):
            with pytest.raises(FeedUnavailableError):
                await feed.append(change(2))
        assert _connections(server) >= before + 2  # each attempt resolves the name again
        server.do("REPLICAOF", "NO", "ONE")
        assert await feed.append(change(2))
    finally:
        await feed.close()
        server.kill()
        elsewhere.kill()


def _connections(server: RedisServer) -> int:
    """Count the connections, except the one that counts."""
    listed = server.do("CLIENT", "LIST", "TYPE", "NORMAL").splitlines()
    return max(int(line.split("id=")[1].split(" ")[0]) for line in listed if "cmd=client" not in line)


async def test_sentinels_and_servers_have_passwords_of_their_own(tmp_path: Path) -> None:
    data = {"requirepass": "data-91c0", "masterauth": "data-91c0"}
    with watched(tmp_path, None, asking="asking-7f3a", **data) as secured:
        hosts = secured.url.partition("//")[2]
        good = f"redis+sentinel://:data-91c0@{hosts}?sentinel_password=asking-7f3a"
        feed = RedisFeed(good, KEY, EPOCH)
        assert await feed.append(change(1))
        await feed.close()
        for wrong in (good.replace("data-91c0", "asking-7f3b"), good.replace("asking-7f3a", "data-91c1")):
            feed = RedisFeed(wrong, KEY, EPOCH)
            with pytest.raises(FeedUnavailableError) as refused:
                await feed.append(change(2))
            assert "asking-7f3" not in repr(refused.value)
            assert "data-91c" not in repr(refused.value)
            assert "data-91c" not in repr(feed._writing)
            await feed.close()
