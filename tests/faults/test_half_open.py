"""Connections that stand and carry nothing, to Redis and to PostgreSQL: what no error tells of."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode as Code

from almond_server.ops.valkey_child import ValkeyChild
from faults.nodes import Answer, Node, init, upstream
from faults.proxy import FaultProxy
from support.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.postgres import PostgresServer

MAX_STALENESS = 2.0
FLAGS = ("--max-staleness", str(MAX_STALENESS), "--poll-interval", "0.2")
SLACK_SECONDS = 1.0


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyChild]:
    place = tmp_path / "valkey"
    place.mkdir()
    with ValkeyChild(place) as child:
        yield child


def _through(proxy: FaultProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}"


async def test_a_redis_that_swallows_everything_delays_nobody_for_long(
    tmp_path: Path, valkey: ValkeyChild
) -> None:
    data_dir = tmp_path / "data"
    init(data_dir)
    with FaultProxy(upstream(valkey)) as redis:
        async with (
            Node(data_dir, _through(redis), *FLAGS) as here,
            Node(data_dir, _through(redis), *FLAGS) as there,
        ):
            tokens = [await here.mint() for _ in range(4)]
            await there.turns(healthy=True, name="feed")
            redis.half_open()
            for by, other, each in ((here, there, tokens[0]), (there, here, tokens[1])):
                async with asyncio.timeout(SLACK_SECONDS):  # an answer does not wait for Redis
                    await by.revoke(each)
                await other.comes_to(each, Answer.NO, 0.2 + SLACK_SECONDS)
            for node in (here, there):
                await node.turns(healthy=False, name="feed", seconds=4)
                assert await node.is_healthy()
            redis.heal()
            await there.revoke(tokens[2])
            await here.comes_to(tokens[2], Answer.NO, 0.2 + SLACK_SECONDS)
            for node in (here, there):
                await node.turns(healthy=True, name="feed", seconds=4)
                assert await node.asked(tokens[3]) is Answer.YES


async def test_a_postgresql_that_swallows_everything_is_given_up_within_the_bound(
    tmp_path: Path, valkey: ValkeyChild, postgres: PostgresServer
) -> None:
    data_dir, url = tmp_path / "data", postgres.new_database()
    init(data_dir, ALMOND_DATABASE_URL=url)
    with FaultProxy(upstream(valkey)) as redis, FaultProxy(("127.0.0.1", postgres.port)) as database:
        far = {"ALMOND_DATABASE_URL": url.replace(str(postgres.port), str(database.port))}
        async with (
            Node(data_dir, valkey.url, *FLAGS, ALMOND_DATABASE_URL=url) as here,
            Node(data_dir, _through(redis), *FLAGS, **far) as there,
        ):
            tokens = [await here.mint() for _ in range(3)]
            live = await here.mint()
            for each in (*tokens, live):
                assert await there.asked(each) is Answer.YES
            database.half_open()
            began = time.monotonic()
            writing = [asyncio.create_task(refusal(call)) for call in (there.mint(), there.revoke(live))]
            # Redis alone brings changes, and heartbeats of who reads the store.
            await here.revoke(tokens[0])
            await there.comes_to(tokens[0], Answer.NO, MAX_STALENESS)
            await asyncio.sleep(MAX_STALENESS + SLACK_SECONDS)
            assert await there.asked(live) is Answer.YES
            # And now nothing does.
            redis.half_open()
            await here.revoke(tokens[1])
            await there.comes_to(tokens[1], Answer.NOBODY_KNOWS, MAX_STALENESS + SLACK_SECONDS)
            await there.turns(healthy=False, seconds=SLACK_SECONDS)
            for refused in await asyncio.gather(*writing):
                assert refused.code == Code.UNAVAILABLE
            assert time.monotonic() - began < 9
            await here.revoke(tokens[2])
            assert await there.asked(tokens[2]) is Answer.NOBODY_KNOWS

            database.heal()
            redis.heal()
            for each in tokens:
                await there.comes_to(each, Answer.NO)
            await there.comes_to(live, Answer.YES)
            await there.turns(healthy=True)
            assert await there.asked(await there.mint()) is Answer.YES
