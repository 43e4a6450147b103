"""Servers stopped in mid-life: what they say when they go on is not what they knew before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from almond_server.ops.valkey_child import ValkeyChild
from faults.nodes import Answer, Node, init, upstream
from faults.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.postgres import PostgresServer

MAX_STALENESS = 1.0
FLAGS = ("--max-staleness", str(MAX_STALENESS), "--poll-interval", "0.2")


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyChild]:
    place = tmp_path / "valkey"
    place.mkdir()
    with ValkeyChild(place) as child:
        yield child


async def test_a_server_that_was_stopped_says_no_yes_to_what_was_revoked_meanwhile(
    tmp_path: Path, valkey: ValkeyChild
) -> None:
    data_dir = tmp_path / "data"
    init(data_dir)
    with FaultProxy(upstream(valkey)) as proxy:
        async with (
            Node(data_dir, f"redis://127.0.0.1:{proxy.port}", *FLAGS) as stopped,
            Node(data_dir, valkey.url, *FLAGS) as other,
        ):
            tokens = [await other.mint() for _ in range(20)]
            live = await other.mint()
            for each in (*tokens, live):
                assert await stopped.asked(each) is Answer.YES
            stopped.pause()
            proxy.cut()  # nor does it find news waiting when it goes on
            asking = [asyncio.create_task(stopped.asked(each)) for each in tokens]
            for each in tokens:
                await other.revoke(each)
            asking += [asyncio.create_task(stopped.asked(each)) for each in tokens]
            await asyncio.sleep(MAX_STALENESS + 0.5)
            stopped.resume()
            assert set(await asyncio.gather(*asking)) <= {Answer.NO, Answer.NOBODY_KNOWS}
            for each in tokens:
                await stopped.comes_to(each, Answer.NO)
            await stopped.comes_to(live, Answer.YES)
            await stopped.turns(healthy=True)


async def test_another_relay_takes_over_from_one_that_was_stopped(
    tmp_path: Path, valkey: ValkeyChild, postgres: PostgresServer
) -> None:
    data_dir, url = tmp_path / "data", {"ALMOND_DATABASE_URL": postgres.new_database()}
    init(data_dir, **url)

    def relays(node: Node) -> bool:
        return "relay.elected" in node.log.read_text()

    async with Node(data_dir, valkey.url, *FLAGS, **url) as stopped:
        stopped.eventually(lambda: relays(stopped))
        async with Node(data_dir, valkey.url, *FLAGS, **url) as other:
            token = await other.mint()
            stopped.pause()
            other.eventually(lambda: relays(other))
            await other.revoke(token)
            stopped.resume()
            await stopped.comes_to(token, Answer.NO)
            await stopped.turns(healthy=True)
