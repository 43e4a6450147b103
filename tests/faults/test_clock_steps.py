"""A server whose wall clock is off by an hour answers UNAVAILABLE until the clock is right again.

It does not write its time to the store either. Only the wall clock is stepped: that is what an operator, NTP
or a resumed machine steps.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from almond_server.data_dir import paths
from almond_server.ops.valkey_child import ValkeyChild
from faults.nodes import Answer, Node, init
from support.system_packages import faketime_library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR = 3600
TURN_SECONDS = 2.0
"""How soon health has to change, and a server with a right clock to answer again."""


class NodeWithAClock(Node):
    """A server with a file that sets how many seconds its wall clock is off."""

    def __init__(self, data_dir: Path, redis_url: str, off: int, **environment: str) -> None:
        self._off = data_dir.with_name("off")
        self.step(off)
        faked = {
            "LD_PRELOAD": faketime_library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._off),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        super().__init__(data_dir, redis_url, "--poll-interval", "0.1", **faked, **environment)

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
