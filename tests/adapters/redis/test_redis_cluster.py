"""Redis as a cluster: the node with the keys is found, and found again when it changes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.redis.feed import RedisFeed, epochs
from almond_server.domain.feed import FeedUnavailableError, RevocationPage, Snapshot
from support.feeds import EPOCH, KEY, Listener, change, mark
from support.ports import free_port
from support.redis_clusters import SLOT, Cluster, clustered, has_slot, is_well
from support.redis_servers import RedisServer, until
from support.samples import whole
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


_FINDING_SECONDS = 2.5
_NOTICING_SECONDS = 2.5
CHANGES = f"{{almond}}:{EPOCH}:changes"


@pytest.fixture
async def feed(cluster_url: str) -> AsyncIterator[RedisFeed]:
    made = RedisFeed(cluster_url, KEY, EPOCH)
    yield made
    await made.close()


async def appends(feed: RedisFeed, number: int) -> bool:
    try:
        return await feed.append(change(number))
    except FeedUnavailableError:
        return False


def hand_over(cluster: Cluster, target: RedisServer) -> None:
    """Move the slot to another node, and delete its keys."""
    source = cluster.owner
    keys = source.do("CLUSTER", "GETKEYSINSLOT", SLOT, 100)
    target.do("CLUSTER", "SETSLOT", SLOT, "IMPORTING", source.do("CLUSTER", "MYID"))
    source.do("CLUSTER", "SETSLOT", SLOT, "MIGRATING", target.do("CLUSTER", "MYID"))
    for key in keys:
        source.do("DEL", key)
    for node in (target, source):
        node.do("CLUSTER", "SETSLOT", SLOT, "NODE", target.do("CLUSTER", "MYID"))


async def test_all_keys_are_at_the_one_node_that_has_their_slot(cluster: Cluster, feed: RedisFeed) -> None:
    async def page() -> AsyncIterator[RevocationPage]:
        yield RevocationPage([whole("a")])

    await feed.append(change(1))
    await feed.publish_snapshot(Snapshot(1, mark(1), page()))
    assert len(cluster.owner.do("KEYS", "{almond}:*")) == 3
    assert [each.do("DBSIZE") for each in cluster.others] == [0, 0]


async def test_a_slot_that_moves_with_its_keys_is_followed(cluster: Cluster, feed: RedisFeed) -> None:
    async with Listener(feed) as listener:
        await feed.append(change(1))
        await listener.next_change()
        source, target = cluster.owner, cluster.others[0]
        source.do("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", SLOT, SLOT, "NODE", target.do("CLUSTER", "MYID"))
        await asyncio.to_thread(until, lambda: has_slot(target, SLOT))
        assert await eventually(lambda: appends(feed, 2), bool, _FINDING_SECONDS)
        with pytest.raises(FeedUnavailableError):
            await listener.task
    async with Listener(feed, seen=1) as listener:
        assert await listener.next_change() == change(2)


async def test_a_slot_that_is_given_away_empty_takes_changes_again(cluster: Cluster, feed: RedisFeed) -> None:
    await feed.append(change(1))
    target = cluster.others[-1]
    await asyncio.to_thread(hand_over, cluster, target)
    assert await eventually(lambda: appends(feed, 2), bool, _FINDING_SECONDS)
    assert target.do("EXISTS", CHANGES) == 1


async def test_a_slot_on_its_way_is_a_delay_and_no_more(cluster: Cluster, feed: RedisFeed) -> None:
    """While a slot migrates, its keys may be at either node: ASK and TRYAGAIN are not followed."""
    await feed.append(change(1))
    source, target = cluster.owner, cluster.others[0]
    target.do("CLUSTER", "SETSLOT", SLOT, "IMPORTING", source.do("CLUSTER", "MYID"))
    source.do("CLUSTER", "SETSLOT", SLOT, "MIGRATING", target.do("CLUSTER", "MYID"))
    source.do("MIGRATE", "127.0.0.1", target.port, CHANGES, 0, 1000)
    with pytest.raises(FeedUnavailableError, match="not the master"):
        await feed.append(change(2))
    with pytest.raises(FeedUnavailableError):
        await anext(feed.follow(lambda: 0))
    for node in (target, source):
        node.do("CLUSTER", "SETSLOT", SLOT, "NODE", target.do("CLUSTER", "MYID"))
    assert await eventually(lambda: appends(feed, 2), bool, _FINDING_SECONDS)


async def test_a_silent_node_without_the_keys_keeps_nobody_from_them(cluster: Cluster) -> None:
    silent = cluster.others[0]
    silent.pause()
    try:
        feed = RedisFeed(cluster.url, KEY, EPOCH)
        began = time.monotonic()
        await feed.append(change(1))
        assert time.monotonic() - began < 1.2
        await feed.close()
    finally:
        silent.resume()
        for node in cluster.nodes:
            await asyncio.to_thread(until, lambda node=node: is_well(node))  # type: ignore[misc]


async def test_a_silent_node_with_the_keys_is_given_up_in_time(cluster: Cluster, feed: RedisFeed) -> None:
    await feed.append(change(1))
    later = RedisFeed(cluster.url, KEY, EPOCH)
    silent = cluster.owner
    silent.pause()
    try:
        began = time.monotonic()  # on the connection that stands, and on a new one
        appended = await asyncio.gather(*(appends(each, 2) for each in (feed, later)))
        assert appended == [False, False]
        assert time.monotonic() - began < _NOTICING_SECONDS
    finally:
        silent.resume()
        await later.close()
        for node in cluster.nodes:
            await asyncio.to_thread(until, lambda node=node: is_well(node))  # type: ignore[misc]
    assert await eventually(lambda: appends(feed, 2), bool, _FINDING_SECONDS)


@pytest.mark.parametrize("delay_seconds", [0, 0.0005, 0.001, 0.002, 0.004])
async def test_whoever_looks_for_the_node_can_be_cancelled(cluster_url: str, delay_seconds: float) -> None:
    feed = RedisFeed(cluster_url, KEY, EPOCH)
    looking = asyncio.create_task(feed.append(change(1)))
    await asyncio.sleep(delay_seconds)
    looking.cancel()
    done, _ = await asyncio.wait([looking], timeout=0.5)
    assert done
    assert await feed.append(change(1))
    assert await feed.append(change(2))
    await feed.close()


async def test_what_epochs_there_are_is_seen_in_a_cluster(cluster_url: str, feed: RedisFeed) -> None:
    await feed.append(change(1))
    assert await epochs(cluster_url) == [EPOCH]


async def test_a_killed_node_that_had_the_keys_is_replaced_by_who_takes_the_slot(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with clustered(tmp_path_factory.mktemp("killed"), cluster_require_full_coverage="no") as cluster:
        feed = RedisFeed(cluster.url, KEY, EPOCH)
        await feed.append(change(1))
        killed, taker = cluster.owner, cluster.others[0]
        killed.kill()
        began = time.monotonic()
        with pytest.raises(FeedUnavailableError):
            await feed.append(change(2))
        assert time.monotonic() - began < _NOTICING_SECONDS
        taker.do("CLUSTER", "SETSLOT", SLOT, "NODE", taker.do("CLUSTER", "MYID"))
        taker.do("CLUSTER", "BUMPEPOCH")
        assert await eventually(lambda: appends(feed, 2), bool, 4)
        await feed.close()


async def test_who_has_the_slot_is_what_most_nodes_say(
    cluster: Cluster, cluster_url: str, tmp_path: Path
) -> None:
    alone = RedisServer(tmp_path, None, cluster_enabled="yes", cluster_port=str(free_port())).start()
    alone.do("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
    feed = RedisFeed(cluster_url.replace("//", f"//{alone.address},"), KEY, EPOCH)
    try:
        assert await feed.append(change(1))
        assert (alone.do("DBSIZE"), cluster.owner.do("DBSIZE")) == (0, 1)
    finally:
        await feed.close()
        alone.kill()


async def test_one_server_that_is_no_cluster_is_unavailable(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = RedisServer(tmp_path_factory.mktemp("alone")).start()
    feed = RedisFeed(f"redis+cluster://{server.address}", KEY, EPOCH)
    try:
        with pytest.raises(FeedUnavailableError, match="no node of the cluster"):
            await feed.append(change(1))
    finally:
        await feed.close()
        server.kill()
