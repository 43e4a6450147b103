"""A worker that loses the store is replaced while its sibling serves.

On PostgreSQL and without Redis: the sessions of one worker can be paused there, and no heartbeat keeps it
fresh. A limit on its open files keeps it from opening new sessions.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from psycopg import sql

from e2e.load import load
from e2e.service import ServeProcess, run
from e2e.workers import are_two_without, both, fresh, until
from support.postgres import PostgresServer

FLAGS = ("--workers", "2", "--max-staleness", "1", "--poll-interval", "0.2", "--grace", "1")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stale") / "data"


@pytest.fixture(scope="module")
def service(data_dir: Path, postgres: PostgresServer) -> Iterator[ServeProcess]:
    url = {"ALMOND_DATABASE_URL": postgres.new_database()}
    assert run("init", "--data-dir", str(data_dir), environment=url).code == 0
    # A directory of its own, for what a killed parent leaves in it.
    with ServeProcess(data_dir, "redis://127.0.0.1:1", *FLAGS, **url, TMPDIR=str(data_dir)) as server:
        yield server


async def test_a_stale_worker_is_replaced_while_its_sibling_answers(
    service: ServeProcess, data_dir: Path, postgres: PostgresServer
) -> None:
    victim, sibling = await both(service)
    async with load(service.address, (data_dir / "admin.token").read_text().strip()) as got:
        psutil.Process(victim).rlimit(psutil.RLIMIT_NOFILE, (3, 3))
        for session in _sessions(postgres, victim):
            session.suspend()
        try:
            await until(lambda: are_two_without(service, victim))
        finally:
            postgres.resume()
        await got.until(50)
    assert got.lost == []
    assert sibling in fresh(service)
    assert [each["why"] for each in service.logged("worker.dismissed")] == ["stale"]
    assert not service.logged("worker.died")


def test_without_its_parent_a_worker_drains_and_nothing_is_left(service: ServeProcess) -> None:
    children = psutil.Process(service.pid).children()
    drained = len(service.logged("server.stopped"))
    os.kill(service.pid, signal.SIGKILL)
    assert service.wait() == -signal.SIGKILL
    assert len(children) == 2
    assert not psutil.wait_procs(children, 20)[1]
    assert len(service.logged("server.stopped")) == drained + 2


def _sessions(postgres: PostgresServer, pid: int) -> list[psutil.Process]:
    ports = [each.laddr.port for each in psutil.Process(pid).net_connections()]
    statement = sql.SQL("SELECT pid FROM pg_stat_activity WHERE client_port = ANY({})").format(ports)
    found = [psutil.Process(each) for (each,) in postgres.execute(statement)]
    assert found
    return found
