"""The feed reports a Redis that may evict keys, or refuses writes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import redis
from structlog.testing import capture_logs

from almond_server.adapters.redis.feed import RedisFeed
from almond_server.domain.feed import FeedUnavailableError
from support.feeds import EPOCH, KEY, NONCE, Listener
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from almond_server.ops.valkey_child import ValkeyChild


@pytest.fixture
async def feed(valkey: ValkeyChild) -> AsyncIterator[RedisFeed]:
    made = RedisFeed(valkey.url, KEY, EPOCH)
    yield made
    await made.close()


@pytest.fixture
def admin(valkey: ValkeyChild) -> Iterator[Any]:
    with redis.Redis.from_url(valkey.url) as client:
        yield client


async def _problem(feed: RedisFeed, word: str | None) -> str | None:
    """Wait for a problem with a word in it, or for none; fails with the last one."""

    async def look() -> str | None:
        return feed.problem

    return await eventually(look, lambda said: said is None if word is None else word in (said or ""))


async def _read_shortly(feed: RedisFeed) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            async for _ in feed.follow(lambda: 0):
                raise AssertionError("nothing was published")


async def test_a_policy_that_may_drop_keys_is_warned_of_once(feed: RedisFeed, admin: Any) -> None:
    with capture_logs() as logged:
        await _read_shortly(feed)
        assert logged == []
        admin.config_set("maxmemory-policy", "allkeys-lru")
        await _read_shortly(feed)
        await _read_shortly(feed)
    (warned,) = logged
    assert (warned["event"], warned["policy"]) == ("feed.may_evict", "allkeys-lru")


async def test_every_turn_of_the_policy_is_heard_of_while_the_feed_is_read(
    feed: RedisFeed, admin: Any
) -> None:
    with capture_logs() as logged:
        async with Listener(feed):
            await _problem(feed, None)
            for policy in ("allkeys-random", "volatile-lru"):
                admin.config_set("maxmemory-policy", policy)
                assert "noeviction" in str(await _problem(feed, policy))
            admin.config_set("maxmemory-policy", "noeviction")
            await _problem(feed, None)
    events = [(each["event"], each["policy"]) for each in logged]
    assert events == [
        ("feed.may_evict", "allkeys-random"),
        ("feed.may_evict", "volatile-lru"),
        ("feed.evicts_no_more", "noeviction"),
    ]


async def test_a_redis_that_takes_no_writes_is_objected_to_until_it_does(feed: RedisFeed, admin: Any) -> None:
    async with Listener(feed):
        await _problem(feed, None)
        admin.config_set("maxmemory", 1)
        with pytest.raises(FeedUnavailableError):
            await feed.challenge(NONCE)
        assert "no writes" in str(feed.problem)
        admin.config_set("maxmemory", 0)
        await feed.challenge(NONCE)
        assert feed.problem is None


async def test_a_user_who_may_not_ask_reads_all_the_same_and_health_says_so(
    valkey: ValkeyChild, admin: Any
) -> None:
    admin.acl_setuser(
        "reader", enabled=True, nopass=True, categories=["+@all"], commands=["-info"], keys=["*"]
    )
    separator = "&" if "?" in valkey.url else "?"
    feed = RedisFeed(f"{valkey.url}{separator}username=reader&password=x", KEY, EPOCH)
    with capture_logs() as logged:
        async with Listener(feed):
            assert "INFO" in str(await _problem(feed, "INFO"))
    await feed.close()
    assert logged == []
