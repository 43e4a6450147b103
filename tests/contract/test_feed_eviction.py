"""A Redis that may drop keys to make room is said to be one, once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import redis
from structlog.testing import capture_logs

from almond_server.adapters.redis_feed import RedisFeed
from almond_server.adapters.valkey_child import ValkeyChild


async def _read_shortly(feed: RedisFeed) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            async for _ in feed.follow(lambda: 0):
                raise AssertionError("nothing was published")


async def test_a_policy_that_may_drop_keys_is_warned_of_once(valkey: ValkeyChild) -> None:
    feed = RedisFeed(valkey.url, bytes(32), "0123abcd")
    with redis.Redis.from_url(valkey.url) as direct, capture_logs() as logged:
        await _read_shortly(feed)
        assert logged == []
        admin: Any = direct
        admin.config_set("maxmemory-policy", "allkeys-lru")
        await _read_shortly(feed)
        await _read_shortly(feed)
    await feed.close()
    (warned,) = logged
    assert (warned["event"], warned["policy"]) == ("feed.may_evict", "allkeys-lru")


async def test_a_user_who_may_not_ask_reads_all_the_same(valkey: ValkeyChild) -> None:
    with redis.Redis.from_url(valkey.url) as direct:
        admin: Any = direct
        admin.acl_setuser(
            "reader", enabled=True, nopass=True, categories=["+@all"], commands=["-info"], keys=["*"]
        )
    separator = "&" if "?" in valkey.url else "?"
    feed = RedisFeed(f"{valkey.url}{separator}username=reader&password=x", bytes(32), "0123abcd")
    with capture_logs() as logged:
        await _read_shortly(feed)
    await feed.close()
    assert logged == []
