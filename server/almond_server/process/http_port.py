"""Probes and metrics over HTTP: `/health`, `/live` and `/metrics`, for load balancers and Prometheus.

Rules, as any client that reaches the port may send requests:

* A request has a head of at most 8 KiB and no body. Reading it and writing the response takes at most five
  seconds; the client then has five more to read the rest.
* At most 16 requests are answered at a time. A further one gets no response, and its connection is closed.
* At most 16 connections may be open without having sent a request: above that the oldest are closed (each
  gets at least 0.1 s), so that idle clients cannot block others. Above 256, new ones are refused.
* No response holds a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from almond_server.config.addresses import host_and_port, is_loopback
from almond_server.errors import StartError
from almond_server.process.listen import check_free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from prometheus_client import CollectorRegistry

FLAG: Final = "--metrics-address"

_MAX_HEAD_BYTES: Final = 8192
_TIMEOUT_SECONDS: Final = 5.0
_MAX_AT_ONCE: Final = 16
_MAX_PENDING: Final = 256
_MIN_PENDING_SECONDS: Final = 0.1
"""The time that each connection has for its request, however many others are opened."""

_BACKLOG: Final = 16

log = structlog.get_logger()


Rows: TypeAlias = "Callable[[], Sequence[dict[str, object]]]"
"""Returns a row for each serving process, as `StatusRow.as_dict` does."""


@contextlib.asynccontextmanager
async def opened(address: str, rows: Rows, registry: CollectorRegistry) -> AsyncIterator[int | None]:
    """Serve HTTP on `host:port` while the block lasts; yields the port.

    Port 0 picks a free one; an empty address serves nothing and yields None. `/health` answers 200 while one
    of the `rows` is `fresh`, 503 otherwise. Raises `StartError` if it cannot listen there.
    """
    if not address:
        yield None
        return
    listening = _listen(address)
    connections = _Connections(rows, registry)
    server = await asyncio.start_server(connections.serve, sock=listening, limit=_MAX_HEAD_BYTES)
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()


def _listen(address: str) -> socket.socket:
    check_free(address, FLAG)
    host, port = host_and_port(address, FLAG)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError:
        # This raises with the name of a process that has just taken the port.
        check_free(address, FLAG)
        raise StartError(f"{FLAG}: cannot listen on {address}.") from None
    log.info("machine_port.opened", address=address, port=listening.getsockname()[1])
    if not is_loopback(address, FLAG):
        log.warning(
            "machine_port.exposed",
            advice="anyone who reaches this port can read the metrics: do not expose it",
        )
    return listening


class _Connections:
    """Answers one request on each connection, within the limits above."""

    def __init__(self, rows: Rows, registry: CollectorRegistry) -> None:
        self._rows = rows
        self._registry = registry
        self._pending: dict[asyncio.StreamWriter, float] = {}
        self._responding = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that does not read, or that sends too slowly or too much, gets no response.
        try:
            if self._make_room():
                self._pending[writer] = asyncio.get_running_loop().time()
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                    self._pending.pop(writer, None)
                    await self._respond(head, writer)
                writer.close()
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._abort(writer)

    def _make_room(self) -> bool:
        """Close the oldest connections without a request; return whether a new one may stay."""
        now = asyncio.get_running_loop().time()
        while len(self._pending) >= _MAX_AT_ONCE:
            oldest, since = next(iter(self._pending.items()))
            if now - since < _MIN_PENDING_SECONDS:
                break
            self._abort(oldest)
        return len(self._pending) < _MAX_PENDING

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        # Not `close`: it keeps the file descriptor until the client has read the last byte, or for ever.
        writer.transport.abort()
        self._pending.pop(writer, None)

    async def _respond(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        if self._responding >= _MAX_AT_ONCE:
            return
        self._responding += 1
        try:
            writer.write(await self._response(head))
            await writer.drain()
        finally:
            self._responding -= 1

    async def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in {b"GET", b"HEAD"}:
            status, content_type, body = HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"GET only\n"
        elif path == b"/live":
            status, content_type, body = HTTPStatus.OK, "text/plain", b"live\n"
        elif path == b"/health":
            status, content_type, body = self._health()
        elif path == b"/metrics":
            # In a thread: it takes milliseconds, during which no call should wait for the event loop.
            body = await asyncio.to_thread(generate_latest, self._registry)
            status, content_type = HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4
        else:
            status, content_type, body = HTTPStatus.NOT_FOUND, "text/plain", b"/health, /live or /metrics\n"
        return _http_response(status, content_type, b"" if method == b"HEAD" else body, len(body))

    def _health(self) -> tuple[HTTPStatus, str, bytes]:
        rows = self._rows()
        is_healthy = any(row["fresh"] is True for row in rows)
        body = json.dumps({"healthy": is_healthy, "workers": list(rows)}).encode() + b"\n"
        status = HTTPStatus.OK if is_healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", body


def _http_response(status: HTTPStatus, content_type: str, body: bytes, length: int) -> bytes:
    allow = "Allow: GET, HEAD\r\n" if status == HTTPStatus.METHOD_NOT_ALLOWED else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\nCache-Control: no-store\r\n{allow}Connection: close\r\n\r\n"
    )
    return head.encode() + body
