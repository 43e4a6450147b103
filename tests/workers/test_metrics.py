"""The merged metrics of several workers: sums, extremes, and what a worker that ended leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from prometheus_client.multiprocess import mark_process_dead

from support.exposition import shared_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WORKER = """
import sys
import grpc
from almond_core.decision import Decision, Rejected, Denial
from almond_core.errors import Reason
from almond_server.telemetry import counters, metrics
from almond_server.rpc.call_metrics import Meter, count_decision

revision, age, fresh = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
metrics.describe_build()
metrics.WORKERS.set(1)
metrics.WORKER_STARTS.inc()
metrics.FRESH_WORKERS.set(fresh)
metrics.VIEW_REVISION.set(revision)
metrics.VIEW_AGE.set(age)
metrics.VIEW_BYTES.set(1000)
metrics.WATCHERS.set(10)
metrics.EXPIRING_CALLERS.set(revision)
count_decision(Decision((Rejected((Denial(Reason.FOREIGN, "sentence"),)),)), allowed=False)
meter = Meter("/almond.v1.TokenService/Verify", "unary")
meter.end(meter.begin(), grpc.StatusCode.OK)
counters.flush()
print("ready", flush=True)
sys.stdin.read()
"""


def worker(directory: Path, *figures: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER, *figures],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(directory)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    running = [worker(tmp_path, "7", "0.5", "1"), worker(tmp_path, "5", "inf", "0")]
    try:
        for each in running:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        yield running
    finally:
        for each in running:
            each.communicate()


def test_metrics_of_workers_are_merged_and_a_dead_one_leaves_its_counts(
    tmp_path: Path, workers: list[subprocess.Popen[str]]
) -> None:
    call = {"grpc_type": "unary", "grpc_service": "almond.v1.TokenService", "grpc_method": "Verify"}
    read = shared_in(tmp_path)
    assert read.get("almond_workers") == 2
    assert read.get("almond_worker_starts_total") == 2
    assert read.get("almond_fresh_workers") == 1
    assert read.get("almond_view_revision") == 5
    assert read.get("almond_view_age_seconds") == float("inf")
    assert read.get("almond_view_bytes") == 2000
    assert read.get("almond_watchers") == 20
    assert read.get("almond_expiring_callers") == 7
    assert read.get("almond_decisions_total", outcome="denied", reason="FOREIGN") == 2
    assert read.get("grpc_server_handled_total", **call, grpc_code="OK") == 2
    assert read.get("grpc_server_handling_seconds_count", **call) == 2
    assert read.named("almond_build_info") != []
    assert "pid=" not in read.text

    stale = workers.pop()
    stale.communicate()
    mark_process_dead(stale.pid, str(tmp_path))  # type: ignore[no-untyped-call]
    read = shared_in(tmp_path)
    assert read.get("almond_workers") == read.get("almond_fresh_workers") == 1
    assert read.get("almond_view_revision") == 7
    assert read.get("almond_view_age_seconds") == 0.5
    assert read.get("grpc_server_handled_total", **call, grpc_code="OK") == 2
    assert read.get("almond_worker_starts_total") == 2
