"""A test run leaves no server process and no directory, however it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from support import leftovers
from support.forks import on_path
from support.waiting import eventually

SERVERS = """
import json, sys, time
from pathlib import Path
from e2e.service import ServeProcess
from faults.nodes import init
from support import leftovers
from support.postgres import PostgresServer
from support.redis_servers import RedisServer

directory = leftovers.make_directory("servers")
init(directory / "data")
postgres, redis = PostgresServer(), RedisServer(directory).start()
url = f"redis://{redis.address}"
fork = ServeProcess(directory / "data", url).__enter__()
with_workers = ServeProcess(directory / "data", url, "--workers", "2").__enter__()
pids = [postgres._process.pid, redis._process.pid, fork.pid, with_workers.pid]
pids += [each["pid"] for each in with_workers.workers()]
pids += [each.pid for each in postgres._processes()]
postgres.pause()
redis.pause()
print(json.dumps([pids, [str(directory), str(postgres.directory)]]), flush=True)
time.sleep(60)
"""
ONE_SERVER = """
import json, sys, time
from support import leftovers
from support.redis_servers import RedisServer
directory = leftovers.make_directory("server")
pids = [RedisServer(directory).start()._process.pid]
print(json.dumps([pids, [str(directory)]]), flush=True)
time.sleep(60)
"""
ONE_DIRECTORY = """
import json, time
from support import leftovers
directory = leftovers.make_directory("lone")
print(json.dumps([[leftovers._cleaner().pid], [str(directory)]]), flush=True)
time.sleep(60)
"""


@contextmanager
def running(script: str) -> Iterator[tuple[subprocess.Popen[str], list[int], list[Path]]]:
    """Start a run; yields it, the processes that it started and the directories that it made."""
    command = [sys.executable, "-P", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | on_path()) as run:
        try:
            assert run.stdout is not None
            pids, directories = json.loads(run.stdout.readline())
            yield run, pids, [Path(each) for each in directories]
        finally:
            run.kill()


@pytest.mark.timeout(300)  # it loads the server twice, and other tests may load this machine
@pytest.mark.parametrize(
    ("script", "number"),
    [(SERVERS, signal.SIGKILL), (ONE_SERVER, signal.SIGTERM), (ONE_SERVER, signal.SIGINT)],
    ids=["kill -9 with paused servers", "SIGTERM", "Ctrl-C"],
)
async def test_a_run_that_is_ended_leaves_nothing(script: str, number: int) -> None:
    with running(script) as (run, pids, directories):
        assert all(map(_lives, pids))
        assert all(each.is_dir() for each in directories)
        run.send_signal(number)
        run.wait(10)
        await eventually(lambda: _left(pids, directories), lambda left: not left, 20)


async def test_the_next_run_removes_directories_of_a_run_that_died_with_its_cleaner() -> None:
    with running(ONE_DIRECTORY) as (dead, [cleaner], [directory]), running(ONE_DIRECTORY) as (_, _, [other]):
        os.kill(cleaner, signal.SIGKILL)
        dead.kill()
        dead.wait(10)
        assert directory.is_dir()
        with running(ONE_DIRECTORY):
            await eventually(lambda: _left([], [directory]), lambda left: not left, 20)
        assert other.is_dir()


def test_a_directory_to_keep_moves_to_where_no_run_removes_it() -> None:
    directory = leftovers.make_directory("broken")
    (directory / "log").write_text("why")
    kept = leftovers.keep(directory)
    try:
        assert ((kept / "log").read_text(), directory.exists()) == ("why", False)
        assert not kept.name.startswith("almond-run-")
    finally:
        shutil.rmtree(kept)


async def _left(pids: list[int], directories: list[Path]) -> list[int | Path]:
    return [*filter(_lives, pids), *filter(Path.exists, directories)]


def _lives(pid: int) -> bool:
    try:
        return leftovers.is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False
