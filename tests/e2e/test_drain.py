"""On SIGTERM a server reports NOT_SERVING, lets calls under way finish, and ends."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from almond.v1.revocation_service_pb2 import FromNow, WatchRevocationsRequest
from almond.v1.revocation_service_pb2_grpc import RevocationServiceStub
from e2e.service import DevService, ServeProcess, run
from support.service import bearer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_watchers_of_health_get_not_serving_before_the_server_ends(tmp_path: Path) -> None:
    with (
        DevService(tmp_path / "data", is_program=True) as service,
        grpc.insecure_channel(service.address) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        requests = [health_pb2.HealthCheckRequest(service=name) for name in ("", "almond.v1.TokenService")]
        watches = [iter(stub.Watch(request, timeout=20)) for request in requests]
        assert [next(watch).status for watch in watches] == [SERVING, SERVING]
        began = time.monotonic()
        # Both read before it: at the end of a stream, this client drops messages that it has not read.
        with ThreadPoolExecutor(len(watches)) as threads:
            received = threads.map(next, watches)
            time.sleep(0.2)
            service.send(signal.SIGTERM)
            assert [each.status for each in received] == [NOT_SERVING, NOT_SERVING]
        assert service.stop() == 0
        assert time.monotonic() - began < 15
    log = (tmp_path / "data.log").read_text()
    assert "Traceback" not in log, log


def test_a_watch_of_revocations_ends_with_draining(tmp_path: Path) -> None:
    with (
        DevService(tmp_path / "data", is_program=True) as service,
        grpc.insecure_channel(service.address) as channel,
    ):
        admin = (tmp_path / "data" / "admin.token").read_text().strip()
        stub: Any = RevocationServiceStub(channel)
        watch = stub.WatchRevocations(
            WatchRevocationsRequest(from_now=FromNow()), metadata=bearer(admin), timeout=20
        )
        assert next(watch).HasField("started")
        began = time.monotonic()
        service.send(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as ended:
            deque(watch, maxlen=0)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "watch again" in str(ended.value)
        assert service.stop() == 0
        assert time.monotonic() - began < 8  # of the ten seconds that other calls have
    log = (tmp_path / "data.log").read_text()
    assert "Traceback" not in log, log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_it_the_same_way(tmp_path: Path, number: int) -> None:
    with DevService(tmp_path / "data", is_program=True) as service:
        assert service.stop(number) == 0
    assert "Traceback" not in (tmp_path / "data.log").read_text()


class UnderNohup(ServeProcess):
    """A server that must outlive its terminal."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, "redis://127.0.0.1:1")
        self._before = ["nohup"]


def test_under_nohup_it_outlives_its_terminal(tmp_path: Path) -> None:
    assert run("init", "--data-dir", str(tmp_path / "data")).code == 0
    with UnderNohup(tmp_path / "data") as server:
        os.kill(server.pid, signal.SIGHUP)
        time.sleep(0.5)
        assert server.ask("/health")[0] == 200
        assert not server.logged("server.draining")
