"""Traces: each call sends one span without secrets to a collector, and no call waits for the collector."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from structlog.testing import capture_logs

from almond.v1 import token_service_pb2 as pb
from almond_server.errors import StartError
from almond_server.telemetry.traces import Spans
from almond_server.tokens.verify import Verifier
from support.orders import deploy
from support.refusals import refusal
from support.service import Almond, almond, bearer, on
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VERIFY = "almond.v1.TokenService/Verify"
_SERVER_KIND, _ERROR = 2, 2


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """Wait for threads that still retry: the random numbers that they draw would disturb hypothesis."""
    before = set(threading.enumerate())
    yield
    for each in set(threading.enumerate()) - before:
        if each.name.startswith(("Otel", "almond-traces")):
            each.join(20)
            assert not each.is_alive(), each.name


@dataclass
class Collector:
    """The requests that an OTLP/HTTP collector received."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    def spans(self, name: str = VERIFY) -> list[Any]:
        return [each for each in self._all() if each.name == name]

    def _all(self) -> Iterator[Any]:
        for body in tuple(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    yield from scope.spans

    def resource(self) -> dict[str, str]:
        request = ExportTraceServiceRequest.FromString(self.bodies[0])
        return {each.key: each.value.string_value for each in request.resource_spans[0].resource.attributes}


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    found = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            found.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.asynccontextmanager
async def traced(data_dir: Path, url: str) -> AsyncIterator[Almond]:
    async with almond(data_dir, traces=url) as service:
        try:
            yield service
        finally:
            assert service.app.spans is not None
            await asyncio.to_thread(service.app.spans.close, 0.5)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send spans at once, not after five seconds, and log errors anew in every test."""
    logging.getLogger("opentelemetry").handlers.clear()
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


def attributes(span: Any) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


async def seen(collector: Collector, count: int) -> list[Any]:
    async def read() -> list[Any]:
        return collector.spans()

    return await eventually(read, lambda spans: len(spans) >= count)


async def test_a_call_is_a_span_under_its_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        async with traced(tmp_path / "data", collector.url) as service:
            minted = await service.mint(deploy("appsecret", "orgsecret"))
            access = on("orgsecret", app="appsecret")
            await service.verify(minted.token, access)
            (alone,) = await seen(collector, 1)
            parent = ("traceparent", f"00-{TRACE}-{PARENT}-01")
            state = ("tracestate", "vendor=statesecret")
            request, caller = pb.VerifyRequest(token=minted.token, access=access), bearer(service.admin)
            await service.stub.Verify(request, metadata=(*caller, parent, state))
            _, under = await seen(collector, 2)
            with capture_logs() as logs:
                monkeypatch.setattr(Verifier, "verify", _broken)
                broke = await refusal(service.verify(minted.token, access))
            *_, failed = await seen(collector, 3)
            for bad in ("00-zz-yy-01", "", "x" * 5000):
                await refusal(service.stub.Verify(request, metadata=(*caller, ("traceparent", bad))))
            await seen(collector, 6)
    assert alone.kind == _SERVER_KIND
    assert alone.parent_span_id == b""
    assert 0 < alone.end_time_unix_nano - alone.start_time_unix_nano < 60e9
    ok = {"rpc.system": "grpc", "rpc.service": "almond.v1.TokenService", "rpc.method": "Verify"}
    assert attributes(alone) == ok | {"rpc.grpc.status_code": 0}
    assert (under.trace_id.hex(), under.parent_span_id.hex()) == (TRACE, PARENT)
    (entry,) = [each for each in logs if each["event"] == "call.failed"]
    assert entry["request_id"] in broke.message
    assert attributes(failed) == ok | {"rpc.grpc.status_code": 13, "almond.request_id": entry["request_id"]}
    assert (alone.status.code, failed.status.code) == (0, _ERROR)
    assert collector.resource()["service.name"] == "almond"
    everything = b"".join(collector.bodies)
    secrets = (minted.token, minted.record.id, minted.branch_id, service.admin, "secret", "127.0.0.1")
    assert not [each for each in secrets if each.encode() in everything]


async def test_a_denied_caller_is_no_error_and_unknown_methods_have_no_span(
    tmp_path: Path,
) -> None:
    with collecting() as collector:
        async with traced(tmp_path / "data", collector.url) as service:
            with contextlib.suppress(grpc.aio.AioRpcError):
                unknown: Any = service.channel.unary_unary("/evil.v1.Service/Method")
                await unknown(b"")
            denied = await refusal(service.verify("x", on("acme"), caller="y"))
            assert denied.code is grpc.StatusCode.UNAUTHENTICATED
            (span,) = await seen(collector, 1)
    assert span.status.code == 0
    assert attributes(span)["rpc.grpc.status_code"] == 16
    assert b"evil" not in b"".join(collector.bodies)


async def test_a_dead_collector_delays_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    with socket.socket() as closed, capture_logs() as logs:
        closed.bind(("127.0.0.1", 0))  # it never listens
        async with traced(tmp_path / "data", f"http://127.0.0.1:{closed.getsockname()[1]}") as service:
            token = (await service.mint(deploy())).token
            async with asyncio.timeout(60):
                for _ in range(100):  # more than the queue holds
                    await service.verify(token, on("acme", app="shop"))

            async def unsent() -> list[Any]:
                return [each for each in logs if each["event"] == "traces.unsent"]

            warnings = await eventually(unsent, bool)
    assert len(warnings) == 1
    assert "alm1_" not in str(warnings)


async def test_a_collector_that_never_answers_does_not_delay_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, and no process reads
        async with (
            asyncio.timeout(60),
            traced(tmp_path / "data", f"http://127.0.0.1:{silent.getsockname()[1]}") as service,
        ):
            await service.mint(deploy())
        # The thread that closes it is still running.
        assert "almond-traces-close" in {each.name for each in threading.enumerate()}


def test_without_opentelemetry_traces_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(StartError, match=r"\.\[traces\]"):
        Spans("http://127.0.0.1:4318")


def test_a_server_without_traces_does_not_load_the_exporter() -> None:
    # Not all of OpenTelemetry: redis-py imports its metrics by itself.
    script = "import sys, almond_server.app; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "almond_server.telemetry.traces" in loaded
    assert loaded.isdisjoint({"opentelemetry.sdk.trace", "opentelemetry.exporter.otlp", "requests"})


def _broken(*_: object) -> None:
    raise ZeroDivisionError("secret")
