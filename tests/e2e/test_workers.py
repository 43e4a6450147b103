"""Two workers on one port: what is killed, paused or rolled loses no call that a client repeats."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from almond_server.adapters.valkey_child import ValkeyChild
from e2e.load import load
from e2e.service import ServeProcess, run

FLAGS = ("--workers", "2", "--max-staleness", "2", "--grace", "5")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("workers") / "data"
    assert run("init", "--data-dir", str(made)).code == 0
    return made


@pytest.fixture(scope="module")
def valkey(data_dir: Path) -> Iterator[ValkeyChild]:
    with ValkeyChild(data_dir) as child:
        yield child


@pytest.fixture(scope="module")
def service(valkey: ValkeyChild, data_dir: Path) -> Iterator[ServeProcess]:
    """Its end is a test too: SIGTERM drains both workers, and the exit code is 0."""
    with ServeProcess(data_dir, valkey.url, *FLAGS) as server:
        yield server
        children = psutil.Process(server.pid).children()
    assert len(children) == 2
    assert not [child for child in children if child.is_running()]
    assert [each["exit_code"] for each in server.logged("worker.left")][-2:] == [0, 0]
    assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def admin(data_dir: Path) -> str:
    return (data_dir / "admin.token").read_text().strip()


async def _until(good: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(good):
            await asyncio.sleep(0.05)


def _fresh(service: ServeProcess) -> list[int]:
    return [row["pid"] for row in service.workers() if row["fresh"]]


def _are_two_without(service: ServeProcess, *gone: int) -> bool:
    fresh = _fresh(service)
    return len(fresh) == len(service.workers()) == 2 and not set(gone) & set(fresh)


async def test_kill_9_of_a_worker_loses_no_call_and_another_comes(service: ServeProcess, admin: str) -> None:
    victim, _ = _fresh(service)
    async with load(service.address, admin) as got:
        os.kill(victim, signal.SIGKILL)
        await _until(lambda: _are_two_without(service, victim))
        await got.until(50)
    assert got.lost == []
    assert [each["exit_code"] for each in service.logged("worker.died")] == [-9]


async def test_a_rolling_restart_loses_no_call(service: ServeProcess, admin: str) -> None:
    before = _fresh(service)
    async with load(service.address, admin) as got:
        os.kill(service.pid, signal.SIGHUP)
        await _until(lambda: _are_two_without(service, *before))
        await got.until(50)
    assert got.lost == []
    assert [each["why"] for each in service.logged("worker.dismissed")] == ["rolling", "rolling"]


async def test_a_worker_that_is_paused_past_the_bound_is_replaced(service: ServeProcess, admin: str) -> None:
    victim, sibling = _fresh(service)
    os.kill(victim, signal.SIGSTOP)
    await _until(lambda: _are_two_without(service, victim))
    assert sibling in _fresh(service)
    assert service.logged("worker.dismissed")[-1]["why"] == "silent"
    async with load(service.address, admin) as got:
        await got.until(50)
    assert got.lost == []
