"""Valkey dies and comes back with nothing, again and again, while revocations go on."""

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
"""Within which the feed alone has to bring news again: less than the poll."""


async def test_what_was_revoked_while_valkey_was_away_comes_by_the_feed_when_it_is_back(
    tmp_path: Path,
) -> None:
    data_dir, valkey_dir = tmp_path / "data", tmp_path / "valkey"
    valkey_dir.mkdir()
    init(data_dir)
    valkey = ValkeyChild(valkey_dir)
    try:
        async with Node(data_dir, valkey.url) as here, Node(data_dir, valkey.url, *SELDOM) as there:
            tokens = [await here.mint() for _ in range(40)]
            live = await here.mint()
            await there.turns(healthy=True, name="feed", seconds=FEED_SECONDS)
            for some, last_without in ((tokens[:20], 20), (tokens[20:], 15)):
                for number, each in enumerate((*some, None), 1):
                    if number == 5:
                        os.kill(valkey.pid, signal.SIGKILL)
                    if number == last_without + 1:
                        valkey.stop()
                        valkey = ValkeyChild(valkey_dir)
                    if each is None:
                        break
                    async with asyncio.timeout(1):  # whoever revokes does not wait for Valkey
                        await here.revoke(each)
                    assert await here.asked(each) is Answer.NO
                async with asyncio.timeout(FEED_SECONDS):
                    for each in some:
                        await there.comes_to(each, Answer.NO)
            for node in (here, there):
                assert await node.asked(live) is Answer.YES
                await node.turns(healthy=True, name="feed", seconds=FEED_SECONDS)
    finally:
        valkey.stop()
