"""Valkey is killed and comes back empty, twice, while servers revoke."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from almond_server.ops.valkey_child import ValkeyChild
from faults.nodes import Answer, Node, init

if TYPE_CHECKING:
    from pathlib import Path

SELDOM = ("--poll-interval", "6", "--max-staleness", "20")
FEED_SECONDS = 4.0
"""How soon the feed alone has to bring changes again: sooner than the poll."""


async def test_what_was_revoked_while_valkey_was_down_comes_by_the_feed_later(
    tmp_path: Path,
) -> None:
    data_dir, valkey_dir = tmp_path / "data", tmp_path / "valkey"
    valkey_dir.mkdir()
    init(data_dir)
    valkey = ValkeyChild(valkey_dir)
    try:
        async with Node(data_dir, valkey.url) as first, Node(data_dir, valkey.url, *SELDOM) as second:
            tokens = [await first.mint() for _ in range(40)]
            live = await first.mint()
            await second.until_health(healthy=True, name="feed", seconds=FEED_SECONDS)
            for revoked, last_without in ((tokens[:20], 20), (tokens[20:], 15)):
                for number, each in enumerate((*revoked, None), 1):
                    if number == 5:
                        os.kill(valkey.pid, signal.SIGKILL)
                    if number == last_without + 1:
                        valkey.stop()
                        valkey = ValkeyChild(valkey_dir)
                    if each is None:
                        break
                    async with asyncio.timeout(1):  # Revoke does not wait for Valkey
                        await first.revoke(each)
                    assert await first.verify(each) is Answer.DENIED
                async with asyncio.timeout(FEED_SECONDS):
                    for each in revoked:
                        await second.until_answer(each, Answer.DENIED)
            for node in (first, second):
                assert await node.verify(live) is Answer.ALLOWED
                await node.until_health(healthy=True, name="feed", seconds=FEED_SECONDS)
    finally:
        valkey.stop()
