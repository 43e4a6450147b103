"""What every election owes: one winner at a time, until it resigns or its process ends."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.file_election import FileElection
from almond_server.adapters.sql.election import PostgresElection
from almond_server.app import election
from fakes.election import MemoryElection
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from almond_server.adapters.sql.database import Location
    from almond_server.domain.feed import Election
    from support.postgres import PostgresServer

SERVER = Path(__file__).resolve().parents[2] / "server"
TURN_SECONDS = 60.0
HOLDER = """
import asyncio, os, sys
from pathlib import Path
from almond_server.app import election

where, data_dir = sys.argv[1:]
mine = election(where if "://" in where else Path(where), Path(data_dir), 0.1)
print(asyncio.run(mine.is_won()), flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["memory", "file", "postgres"])
async def candidates(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Election]]:
    makers: dict[str, Callable[[], Election]] = {
        "memory": lambda box=[]: MemoryElection(box),  # type: ignore[misc]
        "file": lambda: FileElection(tmp_path / "relay.lock"),
        "postgres": lambda: PostgresElection(request.getfixturevalue("postgres_url"), TURN_SECONDS),
    }
    made = [makers[request.param]() for _ in range(3)]
    yield made
    for each in made:
        await each.resign()


async def test_one_wins_and_stays_it(candidates: list[Election]) -> None:
    for _ in range(3):
        assert [await each.is_won() for each in candidates] == [True, False, False]


async def test_who_resigns_makes_room_and_may_stand_again(candidates: list[Election]) -> None:
    first, second, third = candidates
    assert await first.is_won()
    await first.resign()
    assert await eventually(second.is_won, bool)  # PostgreSQL ends a session in its own time
    assert [await each.is_won() for each in (second, first, third)] == [True, False, False]
    await first.resign()  # it was not elected: nothing
    assert not await third.is_won()
    await second.resign()
    assert await eventually(first.is_won, bool)


async def test_who_may_open_no_more_files_is_not_elected_and_lives_on(tmp_path: Path) -> None:
    mine, most = FileElection(tmp_path / "relay.lock"), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, most[1]))
    try:
        assert not await mine.is_won()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert await mine.is_won()
    await mine.resign()


async def holder(where: Location, data_dir: Path) -> asyncio.subprocess.Process:
    """Another process that has won."""
    command = [sys.executable, "-c", HOLDER, str(where), str(data_dir)]
    environment = {"PYTHONPATH": str(SERVER), "PATH": ""}
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
    assert other.stdout is not None
    assert await other.stdout.readline() == b"True\n"
    return other


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_who_is_killed_makes_room(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    where = request.getfixturevalue({"sqlite": "database", "postgres": "postgres_url"}[kind])
    mine, other = election(where, tmp_path, TURN_SECONDS), await holder(where, tmp_path)
    assert not await mine.is_won()
    other.kill()
    assert await eventually(mine.is_won, bool)
    await other.wait()
    await mine.resign()


async def test_postgresql_takes_the_lock_from_who_is_paused(postgres_url: str, tmp_path: Path) -> None:
    mine, other = PostgresElection(postgres_url, TURN_SECONDS), await holder(postgres_url, tmp_path)
    other.send_signal(signal.SIGSTOP)
    assert not await mine.is_won()
    assert await eventually(mine.is_won, bool)
    other.kill()
    await other.wait()
    await mine.resign()


async def test_who_has_lost_the_lock_knows_when_it_asks_again(postgres_url: str) -> None:
    slow, quick = PostgresElection(postgres_url, 0.1), PostgresElection(postgres_url, TURN_SECONDS)
    assert await slow.is_won()
    assert await eventually(quick.is_won, bool)
    assert not await slow.is_won()
    assert not await slow.is_won()
    await quick.resign()
    assert await eventually(slow.is_won, bool)
    await slow.resign()


async def test_a_relay_whose_database_dies_is_none_until_it_is_elected_again(
    own_server: PostgresServer,
) -> None:
    mine = PostgresElection(own_server.new_database(), TURN_SECONDS)
    assert await mine.is_won()
    own_server.kill()
    assert not await mine.is_won()
    own_server.start()
    assert await mine.is_won()
    own_server.pause()
    began = time.monotonic()
    assert not await mine.is_won()
    assert time.monotonic() - began < 8
    own_server.resume()
    assert await eventually(mine.is_won, bool)
    await mine.resign()
