"""A Redis that drops keys for want of memory loses news, and nothing else."""

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
"""For the poll itself and the call that asks, on a machine that has other things to do."""


def _evict_all(admin: Any, policy: str) -> None:
    """Be somebody else who fills this Redis until it has dropped every key of ours."""
    admin.config_set("maxmemory-policy", policy)
    admin.config_set("maxmemory", admin.info("memory")["used_memory"] + 300_000)
    for number in itertools.count():
        admin.set(f"somebody-elses:{number}", bytes(20_000))
        if not admin.keys("{almond}:*"):
            return


async def test_what_was_revoked_while_keys_were_dropped_is_denied_everywhere(tmp_path: Path) -> None:
    data_dir, valkey_dir = tmp_path / "data", tmp_path / "valkey"
    valkey_dir.mkdir()
    init(data_dir)
    with ValkeyChild(valkey_dir) as valkey, redis.Redis.from_url(valkey.url) as direct:
        admin: Any = direct
        async with Node(data_dir, valkey.url) as here, Node(data_dir, valkey.url) as there:
            tokens = [await here.mint() for _ in range(8)]
            for each in tokens[:2]:
                await here.revoke(each)
            await there.turns(healthy=True, name="feed")
            for each, policy in zip(tokens[2:6], ["allkeys-lru", "allkeys-random"] * 2, strict=True):
                await asyncio.to_thread(_evict_all, admin, policy)
                await here.revoke(each)
                began = time.monotonic()
                await there.comes_to(each, Answer.NO)
                assert time.monotonic() - began < POLL_SECONDS + SLACK_SECONDS
            assert admin.info("stats")["evicted_keys"] > 0
            expected = [Answer.NO] * 6 + [Answer.YES] * 2
            for node in (here, there):
                assert [await node.asked(each) for each in tokens] == expected
                assert await node.is_healthy()
                await node.turns(healthy=False, name="feed")

            admin.config_set("maxmemory-policy", "noeviction")
            admin.config_set("maxmemory", 0)
            for node in (here, there):
                await node.turns(healthy=True, name="feed")
            await there.revoke(tokens[6])
            await here.comes_to(tokens[6], Answer.NO, POLL_SECONDS + SLACK_SECONDS)


async def test_the_checker_takes_back_its_limit_where_a_failover_has_hidden_it(tmp_path: Path) -> None:
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
