"""Servers that were paused: when they go on, they do not answer from what they knew before."""

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
    directory = tmp_path / "valkey"
    directory.mkdir()
    with ValkeyChild(directory) as child:
        yield child


async def test_a_server_that_was_paused_does_not_allow_what_was_revoked_meanwhile(
    tmp_path: Path, valkey: ValkeyChild
) -> None:
    data_dir = tmp_path / "data"
    init(data_dir)
    with FaultProxy(upstream(valkey)) as proxy:
        async with (
            Node(data_dir, f"redis://127.0.0.1:{proxy.port}", *FLAGS) as paused,
            Node(data_dir, valkey.url, *FLAGS) as other,
        ):
            tokens = [await other.mint() for _ in range(20)]
            live = await other.mint()
            for each in (*tokens, live):
                assert await paused.verify(each) is Answer.ALLOWED
            paused.pause()
            proxy.cut()  # so that no change waits in its connection either
            verifying = [asyncio.create_task(paused.verify(each)) for each in tokens]
            for each in tokens:
                await other.revoke(each)
            verifying += [asyncio.create_task(paused.verify(each)) for each in tokens]
            await asyncio.sleep(MAX_STALENESS + 0.5)
            paused.resume()
            assert set(await asyncio.gather(*verifying)) <= {Answer.DENIED, Answer.UNAVAILABLE}
            for each in tokens:
                await paused.until_answer(each, Answer.DENIED)
            await paused.until_answer(live, Answer.ALLOWED)
            await paused.until_health(healthy=True)


async def test_another_relay_takes_over_from_one_that_was_paused(
    tmp_path: Path, valkey: ValkeyChild, postgres: PostgresServer
) -> None:
    data_dir, url = tmp_path / "data", {"ALMOND_DATABASE_URL": postgres.new_database()}
    init(data_dir, **url)

    def is_relay(node: Node) -> bool:
        return "relay.elected" in node.log.read_text()

    async with Node(data_dir, valkey.url, *FLAGS, **url) as paused:
        paused.eventually(lambda: is_relay(paused))
        async with Node(data_dir, valkey.url, *FLAGS, **url) as other:
            token = await other.mint()
            paused.pause()
            other.eventually(lambda: is_relay(other))
            await other.revoke(token)
            paused.resume()
            await paused.until_answer(token, Answer.DENIED)
            await paused.until_health(healthy=True)
