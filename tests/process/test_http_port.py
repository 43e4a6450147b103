"""The HTTP port for probes and metrics: its responses, and its limits on clients."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial

import psutil
import pytest
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from almond_server.errors import StartError
from almond_server.process import http_port
from almond_server.telemetry.status import Knowledge, Phase, StatusRow
from support.waiting import eventually


@pytest.fixture
def row() -> StatusRow:
    return StatusRow(worker=3, pid=77)


@pytest.fixture
async def port(row: StatusRow) -> AsyncIterator[int]:
    registry = CollectorRegistry()
    Counter("almond_test", "Of this test.", registry=registry).inc(7)
    async with http_port.opened("127.0.0.1:0", lambda: [row.as_dict()], registry) as opened:
        assert opened is not None
        yield opened


async def _request(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(_rest(reader), 30)
    finally:
        writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_health_is_200_while_a_worker_is_fresh(port: int, row: StatusRow) -> None:
    said = []
    for state in (Phase.STARTING, Knowledge.FRESH, Knowledge.STALE, Knowledge.ALARMED, Knowledge.FRESH):
        row.set(state)
        said.append((await _request(port, b"GET /health HTTP/1.1\r\n\r\n"))[9:12])
    assert said == [b"503", b"200", b"503", b"503", b"200"]
    row.set(Knowledge.STALE, "The disk is full.")
    row.set(Phase.LEAVING, "The disk is full.")
    row.set(Knowledge.FRESH)  # a report that was sent before
    head, _, body = (await _request(port, b"GET /health HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    content = json.loads(body)
    assert content["workers"][0] | {"since": ""} == {
        "worker": 3, "pid": 77, "fresh": False, "state": "leaving", "since": "", "why": ""
    }  # fmt: skip


async def test_metrics_are_in_the_format_of_prometheus(port: int) -> None:
    head, _, body = (await _request(port, b"GET /metrics?x HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert b"almond_test_total 7.0" in body
    head, _, body = (await _request(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
    assert (head[:12], body) == (b"HTTP/1.1 200", b"")


@pytest.mark.parametrize("request_", [b"x" * 9000, b"GET /live HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n"])
async def test_a_head_that_is_too_long_gets_no_answer(port: int, request_: bytes) -> None:
    assert await _request(port, request_) == b""


async def test_sixteen_at_a_time_are_answered_and_idle_clients_block_no_other(port: int) -> None:
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(16)]
    await asyncio.sleep(0.15)
    for number in (1, 2, 3):
        assert (await _request(port, b"GET /live HTTP/1.1\r\n\r\n"))[9:12] == b"200", number
    # The first request closed the connection that had been open longest.
    assert await _rest(lines[0][0]) == b""
    for _, writer in lines[1:]:
        writer.write(b"GET /live HTTP/1.1\r\n\r\n")
    assert [(await reader.read())[9:12] for reader, _ in lines[1:]] == [b"200"] * 15
    for _, writer in lines:
        writer.close()


async def test_connections_that_are_renewed_again_and_again_block_no_probe(port: int) -> None:
    async def idle() -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await _rest(reader)
            finally:
                writer.close()

    async with asyncio.TaskGroup() as tasks:
        crowd = [tasks.create_task(idle()) for _ in range(20)]
        for number in range(50):
            assert (await _request(port, b"GET /health HTTP/1.1\r\n\r\n"))[9:12] == b"503", number
        for each in crowd:
            each.cancel()
    await asyncio.sleep(0.05)  # until all have closed


class _Slow(Collector):
    """Metrics that take a while to be read."""

    def collect(self) -> Iterator[Metric]:
        time.sleep(0.4)
        yield GaugeMetricFamily("almond_slow", "Of this test.", 1)


@pytest.fixture
async def slow_port() -> AsyncIterator[int]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Slow())
    async with http_port.opened("127.0.0.1:0", list, registry) as opened:
        assert opened is not None
        yield opened


async def test_idle_clients_do_not_interrupt_a_slow_response(slow_port: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        metrics = tasks.create_task(_request(slow_port, b"GET /metrics HTTP/1.1\r\n\r\n"))
        await asyncio.sleep(0.15)
        lines = [await asyncio.open_connection("127.0.0.1", slow_port) for _ in range(40)]
        assert b"almond_slow 1.0" in await metrics
        for _, writer in lines:
            writer.close()
        await asyncio.sleep(0.05)


async def test_no_more_than_sixteen_are_answered_at_a_time(slow_port: int) -> None:
    requests = (_request(slow_port, b"GET /metrics HTTP/1.1\r\n\r\n") for _ in range(40))
    answers = await asyncio.gather(*requests)
    assert sum(b"almond_slow 1.0" in each for each in answers) == 16
    assert answers.count(b"") == 24


async def test_above_the_limit_of_pending_connections_the_newest_is_refused(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_port, "_MAX_PENDING", 20)
    monkeypatch.setattr(http_port, "_MIN_PENDING_SECONDS", 60)
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
    assert await _request(port, b"GET /live HTTP/1.1\r\n\r\n") == b""
    for _, writer in lines:
        writer.write(b"GET /live HTTP/1.1\r\n\r\n")
    assert [(await reader.read())[9:12] for reader, _ in lines] == [b"200"] * 20
    for _, writer in lines:
        writer.close()


async def test_a_client_that_does_not_read_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_port, "_TIMEOUT_SECONDS", 0.3)
    registry = CollectorRegistry()
    Counter("almond_large", "x" * 12_000_000, registry=registry)  # more than the kernel buffers
    async with http_port.opened("127.0.0.1:0", list, registry) as port:
        assert port is not None
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            ours = client.getsockname()
            await eventually(partial(_peers_of, port), lambda peers: ours in peers)
            await eventually(partial(_peers_of, port), lambda peers: ours not in peers)


async def _peers_of(port: int) -> set[tuple[str, int]]:
    return {
        (each.raddr.ip, each.raddr.port)
        for each in psutil.Process().net_connections("tcp")
        if each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED
    }


async def test_an_address_that_others_reach_is_warned_of_and_one_in_use_is_refused(port: int) -> None:
    with capture_logs() as logged:
        async with http_port.opened("0.0.0.0:0", list, CollectorRegistry()):
            pass
    assert "machine_port.exposed" in [each["event"] for each in logged]
    with pytest.raises(StartError, match="choose another --metrics-address"):
        async with http_port.opened(f"127.0.0.1:{port}", list, CollectorRegistry()):
            pass


async def test_without_an_address_there_is_no_port() -> None:
    async with http_port.opened("", list, CollectorRegistry()) as opened:
        assert opened is None
