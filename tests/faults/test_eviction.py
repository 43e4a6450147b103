"""A Redis that evicts the feed's keys delays revocations by a poll, and loses none of them."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

import redis

from almond_server.ops.valkey_child import ValkeyChild
from faults.nodes import Answer, Node, init
from faults.valkey import WatchedValkey

if TYPE_CHECKING:
    from pathlib import Path

POLL_SECONDS = 0.5
SLACK_SECONDS = 1.0
"""For the poll itself and for the calls, on a busy machine."""


def _evict_all(admin: Any, policy: str) -> None:
    """Fill this Redis with other keys until it has evicted every key of the feed."""
    admin.config_set("maxmemory-policy", policy)
    admin.config_set("maxmemory", admin.info("memory")["used_memory"] + 300_000)
    for number in itertools.count():
        admin.set(f"filler:{number}", bytes(20_000))
        if not admin.keys("{almond}:*"):
            return


async def test_what_was_revoked_while_keys_were_evicted_is_denied_everywhere(tmp_path: Path) -> None:
    data_dir, valkey_dir = tmp_path / "data", tmp_path / "valkey"
    valkey_dir.mkdir()
    init(data_dir)
    with ValkeyChild(valkey_dir) as valkey, redis.Redis.from_url(valkey.url) as direct:
        admin: Any = direct
        async with Node(data_dir, valkey.url) as first, Node(data_dir, valkey.url) as second:
            tokens = [await first.mint() for _ in range(8)]
            for each in tokens[:2]:
                await first.revoke(each)
            await second.until_health(healthy=True, name="feed")
            for each, policy in zip(tokens[2:6], ["allkeys-lru", "allkeys-random"] * 2, strict=True):
                await asyncio.to_thread(_evict_all, admin, policy)
                await first.revoke(each)
                began = time.monotonic()
                await second.until_answer(each, Answer.DENIED)
                assert time.monotonic() - began < POLL_SECONDS + SLACK_SECONDS
            assert admin.info("stats")["evicted_keys"] > 0
            expected = [Answer.DENIED] * 6 + [Answer.ALLOWED] * 2
            for node in (first, second):
                assert [await node.verify(each) for each in tokens] == expected
                assert await node.is_healthy()
                await node.until_health(healthy=False, name="feed")

            admin.config_set("maxmemory-policy", "noeviction")
            admin.config_set("maxmemory", 0)
            for node in (first, second):
                await node.until_health(healthy=True, name="feed")
            await second.revoke(tokens[6])
            await first.until_answer(tokens[6], Answer.DENIED, POLL_SECONDS + SLACK_SECONDS)


async def test_the_checker_removes_its_limit_from_a_server_that_is_no_longer_master(tmp_path: Path) -> None:
    valkey = WatchedValkey(tmp_path)
    try:
        limited = valkey.client
        limited.config_set("maxmemory", "3mb")
        for _ in range(5):  # the sentinels may still be looking at the replica
            if valkey.client is limited:
                await valkey.fail_over(valkey.plan_failover)
        assert valkey.client is not limited
        valkey.mend()
        assert int(limited.config_get("maxmemory")["maxmemory"]) > 0
        valkey.unlimit()
        assert int(limited.config_get("maxmemory")["maxmemory"]) == 0
    finally:
        valkey.close()
