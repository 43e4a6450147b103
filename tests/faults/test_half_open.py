"""Half-open connections to Redis and to PostgreSQL: they stay open, carry nothing, and raise no error."""

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
    directory = tmp_path / "valkey"
    directory.mkdir()
    with ValkeyChild(directory) as child:
        yield child


def _through(proxy: FaultProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}"


async def test_a_half_open_redis_delays_no_call_for_long(tmp_path: Path, valkey: ValkeyChild) -> None:
    data_dir = tmp_path / "data"
    init(data_dir)
    with FaultProxy(upstream(valkey)) as redis:
        async with (
            Node(data_dir, _through(redis), *FLAGS) as first,
            Node(data_dir, _through(redis), *FLAGS) as second,
        ):
            tokens = [await first.mint() for _ in range(4)]
            await second.until_health(healthy=True, name="feed")
            redis.half_open()
            for by, other, each in ((first, second, tokens[0]), (second, first, tokens[1])):
                async with asyncio.timeout(SLACK_SECONDS):  # Revoke does not wait for Redis
                    await by.revoke(each)
                await other.until_answer(each, Answer.DENIED, 0.2 + SLACK_SECONDS)
            for node in (first, second):
                await node.until_health(healthy=False, name="feed", seconds=4)
                assert await node.is_healthy()
            redis.heal()
            await second.revoke(tokens[2])
            await first.until_answer(tokens[2], Answer.DENIED, 0.2 + SLACK_SECONDS)
            for node in (first, second):
                await node.until_health(healthy=True, name="feed", seconds=4)
                assert await node.verify(tokens[3]) is Answer.ALLOWED


async def test_a_half_open_postgresql_is_given_up_within_the_bound(
    tmp_path: Path, valkey: ValkeyChild, postgres: PostgresServer
) -> None:
    data_dir, url = tmp_path / "data", postgres.new_database()
    init(data_dir, ALMOND_DATABASE_URL=url)
    with FaultProxy(upstream(valkey)) as redis, FaultProxy(("127.0.0.1", postgres.port)) as database:
        proxied = {"ALMOND_DATABASE_URL": url.replace(str(postgres.port), str(database.port))}
        async with (
            Node(data_dir, valkey.url, *FLAGS, ALMOND_DATABASE_URL=url) as first,
            Node(data_dir, _through(redis), *FLAGS, **proxied) as second,
        ):
            tokens = [await first.mint() for _ in range(3)]
            live = await first.mint()
            for each in (*tokens, live):
                assert await second.verify(each) is Answer.ALLOWED
            database.half_open()
            began = time.monotonic()
            writing = [asyncio.create_task(refusal(call)) for call in (second.mint(), second.revoke(live))]
            # Redis alone brings changes, and heartbeats of the server that reads the store.
            await first.revoke(tokens[0])
            await second.until_answer(tokens[0], Answer.DENIED, MAX_STALENESS)
            await asyncio.sleep(MAX_STALENESS + SLACK_SECONDS)
            assert await second.verify(live) is Answer.ALLOWED
            # Now nothing does.
            redis.half_open()
            await first.revoke(tokens[1])
            await second.until_answer(tokens[1], Answer.UNAVAILABLE, MAX_STALENESS + SLACK_SECONDS)
            await second.until_health(healthy=False, seconds=SLACK_SECONDS)
            for refused in await asyncio.gather(*writing):
                assert refused.code == Code.UNAVAILABLE
            assert time.monotonic() - began < 9
            await first.revoke(tokens[2])
            assert await second.verify(tokens[2]) is Answer.UNAVAILABLE

            database.heal()
            redis.heal()
            for each in tokens:
                await second.until_answer(each, Answer.DENIED)
            await second.until_answer(live, Answer.ALLOWED)
            await second.until_health(healthy=True)
            assert await second.verify(await second.mint()) is Answer.ALLOWED
