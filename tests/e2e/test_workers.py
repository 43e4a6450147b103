"""Two workers on one port: killing, pausing or replacing one loses no call that a client repeats."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from almond_server.ops.valkey_child import ValkeyChild
from e2e.load import load
from e2e.service import ServeProcess, run
from e2e.workers import are_two_without, both, fresh, until

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


METRICS = """
import os
if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    from prometheus_client import Counter, Gauge
    Counter("almond_test_starts", "Each start counts one.").inc()
    Gauge("almond_test_alive", "Each that lives counts one.", multiprocess_mode="livesum").set(1)
"""


@pytest.fixture(scope="module")
def service(valkey: ValkeyChild, data_dir: Path) -> Iterator[ServeProcess]:
    """A service of two workers. At its end, SIGTERM drains both, and the exit code must be 0."""
    # Every Python with this PYTHONPATH runs it first.
    (data_dir.parent / "sitecustomize.py").write_text(METRICS)
    path = os.pathsep.join([str(data_dir.parent), os.environ.get("PYTHONPATH", "")])
    with ServeProcess(data_dir, valkey.url, *FLAGS, PYTHONPATH=path) as server:
        yield server
        children = psutil.Process(server.pid).children()
    assert len(children) == 2
    assert not [child for child in children if child.is_running()]
    assert [each["exit_code"] for each in server.logged("worker.left")][-2:] == [0, 0]
    assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def admin(data_dir: Path) -> str:
    return (data_dir / "admin.token").read_text().strip()


async def test_kill_9_of_a_worker_loses_no_call_and_another_starts(service: ServeProcess, admin: str) -> None:
    victim, _ = await both(service)
    async with load(service.address, admin) as got:
        os.kill(victim, signal.SIGKILL)
        await until(lambda: are_two_without(service, victim))
        await got.until(50)
    assert got.lost == []
    assert [each["exit_code"] for each in service.logged("worker.died")] == [-9]


async def test_a_rolling_restart_loses_no_call(service: ServeProcess, admin: str) -> None:
    before = await both(service)
    async with load(service.address, admin) as got:
        os.kill(service.pid, signal.SIGHUP)
        await until(lambda: are_two_without(service, *before))
        await got.until(50)
    assert got.lost == []
    assert [each["why"] for each in service.logged("worker.dismissed")] == ["rolling", "rolling"]


async def test_a_worker_that_is_paused_past_the_bound_is_replaced(service: ServeProcess, admin: str) -> None:
    victim, sibling = await both(service)
    os.kill(victim, signal.SIGSTOP)
    await until(lambda: are_two_without(service, victim))
    assert sibling in fresh(service)
    assert service.logged("worker.dismissed")[-1]["why"] == "silent"
    async with load(service.address, admin) as got:
        await got.until(50)
    assert got.lost == []


def test_the_http_port_reports_all_workers(service: ServeProcess) -> None:
    status, text = service.ask("/health")
    assert status == 200
    health = json.loads(text)
    assert health["healthy"] is True
    assert [(row["worker"], row["state"]) for row in health["workers"]] == [(1, "fresh"), (2, "fresh")]
    children = {child.pid for child in psutil.Process(service.pid).children()}
    assert {row["pid"] for row in health["workers"]} == children
    assert service.ask("/live") == (200, "live\n")
    assert service.ask("/elsewhere")[0] == 404
    assert service.ask("/live", "POST")[0] == 405
    service.eventually(lambda: "almond_fresh_workers 2.0" in service.ask("/metrics")[1])
    text = service.ask("/metrics")[1]
    assert "almond_worker_deaths_total 1.0" in text
    assert "almond_workers_replaced_total 1.0" in text
    assert f"almond_test_starts_total {len(service.logged('worker.started'))}.0" in text
    assert "almond_test_alive 2.0" in text


def test_a_second_start_on_the_address_is_refused_with_a_sentence(
    service: ServeProcess, data_dir: Path, valkey: ValkeyChild
) -> None:
    words = ("serve", "--data-dir", str(data_dir), "--address", service.address, "--metrics-address", "")
    for workers in ("1", "2"):
        ran = run(*words, "--workers", workers, environment={"ALMOND_REDIS_URL": valkey.url})
        assert ran.code == 2
        assert f"{service.address} is in use already by process" in ran.err
    assert are_two_without(service)


def test_one_log_has_the_lines_of_all_workers_with_their_numbers(service: ServeProcess) -> None:
    assert {line["worker"] for line in service.logged("server.fresh")} == {1, 2}
    assert len(service.logged("server.started")) == 1
    assert all(line.startswith("{") for line in service.log.read_text().splitlines())


def test_no_secret_is_in_the_process_list(service: ServeProcess, valkey: ValkeyChild, admin: str) -> None:
    words = [" ".join(child.cmdline()) for child in psutil.Process(service.pid).children()]
    assert len(words) == 2
    assert not [each for each in words if valkey.url in each or "alm1_" in each]
