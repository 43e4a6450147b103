"""A server whose wall clock jumps answers UNAVAILABLE until the clock is right again, or was corrected.

It does not write its time to the store either. Only the wall clock is stepped: that is what an operator, NTP
or a resumed machine steps.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
from grpc import StatusCode as Code

from almond_server.data_dir import paths
from almond_server.ops.valkey_child import ValkeyChild
from faults.nodes import Answer, Node, init
from support.refusals import refusal
from support.system_packages import faketime_library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NO_REDIS = "redis://127.0.0.1:1"
PATIENT = ("--max-staleness", "30")
"""So that a busy machine makes no server stale for another reason than its clock."""

HOUR = 3600
DAY = 24 * HOUR
TURN_SECONDS = 10.0
"""How soon health has to change, and a server with a right clock to answer again."""


CORRECTED_SECONDS = 90.0
"""How soon a server alone has to go on with a new time: it waits for ten seconds."""


class NodeWithAClock(Node):
    """A server with a file that sets how many seconds its wall clock is off."""

    def __init__(self, data_dir: Path, redis_url: str, off: int, *flags: str, **environment: str) -> None:
        self._off = data_dir.with_name("off")
        self.step(off)
        faked = {
            "LD_PRELOAD": faketime_library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._off),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        super().__init__(data_dir, redis_url, "--poll-interval", "0.1", *flags, **faked, **environment)

    def step(self, off: int) -> None:
        new = self._off.with_suffix(".new")
        new.write_text(f"{off:+d}\n")
        new.rename(self._off)  # atomically: half a number would be another time


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyChild]:
    directory = tmp_path / "valkey"
    directory.mkdir()
    with ValkeyChild(directory) as child:
        yield child


@pytest.fixture
def environment(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The settings of servers on a new store of one kind."""
    chosen = {}
    if kind == "postgres":
        chosen["ALMOND_DATABASE_URL"] = request.getfixturevalue("postgres").new_database()
    init(tmp_path / "data", **chosen)
    return chosen


def _store_clock(data_dir: Path, environment: dict[str, str]) -> int:
    """Read the time that the store keeps."""
    query = "SELECT clock FROM store"
    if environment:
        with psycopg.connect(environment["ALMOND_DATABASE_URL"]) as session:
            row = session.execute(query).fetchone()
    else:
        with closing(sqlite3.connect(paths.database(data_dir))) as connection:
            row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_server_whose_clock_is_stepped_is_unavailable_until_it_is_right(
    tmp_path: Path, valkey: ValkeyChild, environment: dict[str, str]
) -> None:
    data_dir = tmp_path / "data"
    async with (
        NodeWithAClock(data_dir, valkey.url, 0, **environment) as stepped,
        Node(data_dir, valkey.url, **environment) as correct,
    ):
        token = await stepped.mint()
        for off in (HOUR, -HOUR):
            revoked = await correct.mint()
            assert await stepped.verify(token) is Answer.ALLOWED
            stepped.step(off)
            assert await stepped.verify(token) is Answer.UNAVAILABLE  # at once
            await stepped.until_health(healthy=False, seconds=TURN_SECONDS)
            await correct.revoke(revoked)  # writes the time of the revocation into the store
            assert abs(_store_clock(data_dir, environment) - time.time()) < 10
            assert await correct.verify(revoked) is Answer.DENIED
            assert await correct.verify(token) is Answer.ALLOWED
            assert await correct.is_healthy()
            assert await stepped.verify(token) is Answer.UNAVAILABLE
            stepped.step(0)
            await stepped.until_health(healthy=True, seconds=TURN_SECONDS)
            assert await stepped.verify(token) is Answer.ALLOWED
            await stepped.until_answer(revoked, Answer.DENIED, TURN_SECONDS)


# An SQLite store has no clock but its servers': one that starts ahead of it may have been down for long.
@pytest.mark.parametrize(("kind", "offs"), [("sqlite", [-HOUR]), ("postgres", [HOUR, -HOUR])])
async def test_a_server_that_starts_with_a_wrong_clock_does_not_serve_and_logs_why(
    tmp_path: Path, valkey: ValkeyChild, environment: dict[str, str], offs: list[int]
) -> None:
    data_dir = tmp_path / "data"
    async with Node(data_dir, valkey.url, **environment) as correct:
        token = await correct.mint()
        for off in offs:
            async with NodeWithAClock(data_dir, valkey.url, off, **environment) as wrong:
                assert await wrong.verify(token) is Answer.UNAVAILABLE
                assert not await wrong.is_healthy()
                assert await correct.verify(token) is Answer.ALLOWED
                wrong.eventually(lambda: "clock differs" in wrong.log.read_text())
                wrong.step(0)
                await wrong.until_health(healthy=True, seconds=TURN_SECONDS)
                assert await wrong.verify(token) is Answer.ALLOWED


async def _refuses_and_names_the_clock(server: NodeWithAClock) -> None:
    refused = await refusal(server.mint())
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "CLOCK_DIFFERS")
    assert "clock of this server's machine jumped" in refused.message
    await server.until_health(healthy=False, seconds=TURN_SECONDS)


def _stop_and_step(server: NodeWithAClock, off: int) -> None:
    """Stop all processes of a server, set their clock, and let them continue."""
    processes = [server.pid, *(child.pid for child in psutil.Process(server.pid).children())]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    server.step(off)
    for pid in processes:
        os.kill(pid, signal.SIGCONT)


async def _works_at(server: NodeWithAClock, off: int) -> None:
    await server.until_health(healthy=True, seconds=CORRECTED_SECONDS)
    minted = await server.mint()
    await server.until_answer(minted, Answer.ALLOWED)
    await server.revoke(minted)
    await server.until_answer(minted, Answer.DENIED)
    assert abs(_store_clock(server.data_dir, {}) - off - time.time()) < 100


async def test_a_server_alone_takes_a_clock_that_was_put_forward_as_right(tmp_path: Path) -> None:
    init(tmp_path / "data")
    async with NodeWithAClock(tmp_path / "data", NO_REDIS, 0, *PATIENT) as server:
        for off in (2 * HOUR, 2 * HOUR + 30 * DAY):
            _stop_and_step(server, off)
            await _refuses_and_names_the_clock(server)
            await _works_at(server, off)
        assert len(server.logged("clock.corrected")) == 2


async def test_workers_alone_take_a_clock_that_was_put_forward_as_right(tmp_path: Path) -> None:
    init(tmp_path / "data")
    async with NodeWithAClock(tmp_path / "data", NO_REDIS, 0, "--workers", "2", *PATIENT) as server:
        _stop_and_step(server, 2 * HOUR)
        server.eventually(lambda: server.logged("clock.jumped"))
        server.eventually(lambda: all(row["fresh"] for row in server.workers()))
        await _works_at(server, 2 * HOUR)


async def test_a_clock_that_was_put_back_is_named_until_it_is_right(tmp_path: Path) -> None:
    init(tmp_path / "data")
    async with NodeWithAClock(tmp_path / "data", NO_REDIS, 0, *PATIENT) as server:
        token = await server.mint()
        for off in (-2 * HOUR, -30 * DAY):
            _stop_and_step(server, off)
            await _refuses_and_names_the_clock(server)
            server.eventually(lambda: "clock" in server.workers()[0]["why"])
            assert server.ask("/live")[0] == HTTPStatus.OK  # a restart would not help
            server.step(0)
            await server.until_answer(token, Answer.ALLOWED)
        assert abs(_store_clock(tmp_path / "data", {}) - time.time()) < 100
