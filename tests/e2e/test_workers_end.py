"""A service of several workers that cannot go on ends at once, with all workers and with a sentence."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil
import pytest

from almond_server.ops.valkey_child import ValkeyChild
from e2e import calls
from e2e.service import ServeProcess, run

FLAGS = ("--workers", "2", "--grace", "1")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ends") / "data"
    assert run("init", "--data-dir", str(made)).code == 0
    return made


def test_six_deaths_of_workers_within_a_minute_end_it(data_dir: Path) -> None:
    with ValkeyChild(data_dir) as valkey, ServeProcess(data_dir, valkey.url, *FLAGS) as service:
        parent = psutil.Process(service.pid)
        seen = set()
        deadline = time.monotonic() + 30
        while len(service.logged("worker.died")) < 6:
            assert time.monotonic() < deadline
            for child in parent.children():
                # Only one of the numbers: the other worker serves all the time, and drains in the end.
                if _number(service, child.pid) == 1:
                    seen.add(child.pid)
                    child.kill()
            time.sleep(0.02)
        assert service.wait() == 2
        assert len(seen) == 6
        assert "More than 5 workers died within a minute" in service.log.read_text()
        assert [each.get("worker") for each in service.logged("server.stopped")] == [2, None]
        assert not parent.is_running()


def _number(service: ServeProcess, pid: int) -> int:
    return next((each["worker"] for each in service.logged("worker.started") if each["pid"] == pid), 0)


def test_after_an_alarm_no_worker_replaces_those_that_know(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    assert run("init", "--data-dir", str(data_dir)).code == 0
    admin = (data_dir / "admin.token").read_text().strip()
    with ValkeyChild(data_dir) as valkey, ServeProcess(data_dir, valkey.url, *FLAGS) as service:
        token = calls.mint(service.address, admin)
        calls.revoke(service.address, admin, token)
        # On connections of their own, so that both workers answer.
        service.eventually(lambda: all(calls.is_denied(service.address, admin, token) for _ in range(8)))
        (data_dir / "almond.db").rename(data_dir / "elsewhere.db")
        service.eventually(lambda: {row["state"] for row in service.workers()} == {"alarmed"})
        assert service.ask("/health")[0] == 503
        assert len(list(data_dir.glob("unhealed-*.jsonl"))) == 2
        first, second = (psutil.Process(row["pid"]) for row in service.workers())
        first.kill()
        service.eventually(lambda: service.logged("worker.died"))
        assert [row["pid"] for row in service.workers()] == [second.pid]
        second.kill()
        assert service.wait() == 2
        assert len(service.logged("worker.started")) == 2
    assert "ops/RESTORE.md" in service.log.read_text().splitlines()[-1]


def test_a_refused_start_gives_its_reason_once(tmp_path: Path) -> None:
    words = ("serve", "--data-dir", str(tmp_path / "data"), "--address", "127.0.0.1:0", "--workers", "3")
    ran = run(*words, "--metrics-address", "", environment={"ALMOND_REDIS_URL": "redis://127.0.0.1:1"})
    assert ran.code == 2
    assert ran.err.count("almond init") == 1
    assert json.loads(ran.err.splitlines()[-1])["event"] == "server.refused"
    assert "Traceback" not in ran.err


def test_a_single_worker_has_the_http_port_and_names_its_holder(data_dir: Path) -> None:
    with ValkeyChild(data_dir) as valkey, ServeProcess(data_dir, valkey.url) as service:
        service.eventually(lambda: service.ask("/health")[0] == 200)
        assert [(row["worker"], row["pid"]) for row in service.workers()] == [(1, service.pid)]
        assert service.ask("/live")[0] == 200
        assert "python_info" in service.ask("/metrics")[1]
        port = service.logged("machine_port.opened")[-1]["port"]
        words = ("serve", "--data-dir", str(data_dir), "--address", "127.0.0.1:0", "--workers", "2")
        refused = run(
            *words, "--metrics-address", f"127.0.0.1:{port}", environment={"ALMOND_REDIS_URL": valkey.url}
        )
        assert refused.code == 2
        assert f"127.0.0.1:{port} is in use already by process {service.pid}" in refused.err
        assert "choose another --metrics-address" in refused.err
