"""What every election owes: one winner at a time, who can lose it by resigning or by dying."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.elections import FileElection, MemoryElection, PostgresElection, election
from support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from almond_server.fan_out import Election
    from postgres import PostgresServer

SERVER = Path(__file__).resolve().parents[2] / "server"
HOLDER = """
import asyncio, os, sys
from pathlib import Path
from almond_server.adapters.elections import election

where, data_dir = sys.argv[1:]
mine = election(where if "://" in where else Path(where), Path(data_dir))
print(asyncio.run(mine.is_won()), flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["memory", "file", "postgres"])
async def candidates(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Election]]:
    makers: dict[str, Callable[[], Election]] = {
        "memory": lambda box=[]: MemoryElection(box),  # type: ignore[misc]
        "file": lambda: FileElection(tmp_path / "relay.lock"),
        "postgres": lambda: PostgresElection(request.getfixturevalue("postgres_url")),
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
    assert [await each.is_won() for each in (second, first, third)] == [True, False, False]
    await first.resign()  # it was not elected: nothing
    assert not await third.is_won()
    await second.resign()
    assert await first.is_won()


async def test_who_may_open_no_more_files_is_not_elected_and_lives_on(tmp_path: Path) -> None:
    mine, most = FileElection(tmp_path / "relay.lock"), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, most[1]))
    try:
        assert not await mine.is_won()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert await mine.is_won()
    await mine.resign()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_who_is_killed_makes_room(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    where = request.getfixturevalue({"sqlite": "database", "postgres": "postgres_url"}[kind])
    mine = election(where, tmp_path)
    command = [sys.executable, "-c", HOLDER, str(where), str(tmp_path)]
    environment = {"PYTHONPATH": str(SERVER), "PATH": ""}
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
    assert other.stdout is not None
    assert await other.stdout.readline() == b"True\n"
    assert not await mine.is_won()
    other.kill()
    assert await eventually(mine.is_won, bool)
    await other.wait()
    await mine.resign()


async def test_a_relay_whose_database_dies_is_none_until_it_is_elected_again(
    own_server: PostgresServer,
) -> None:
    mine = PostgresElection(own_server.new_database())
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
