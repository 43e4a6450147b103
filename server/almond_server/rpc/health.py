"""Serves grpc.health.v1, which load balancers and supervisors ask.

Names: `""` and the service are SERVING while the server can answer Verify; `live` while the process runs;
`feed` while the revocation feed is healthy. Without the feed, servers learn of revocations later and answer
no less right, so it changes nothing of the other names. Check says in words why something is not serving, in
the trailing metadata `almond-health-detail`.

The servicer of `grpcio-health-checking` is not used, for three defects: a watcher that leaves removes the
others' notifications, one that does not read blocks the task that sets the status, and every name that was
ever asked for stays in memory.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from grpc_health.v1 import health_pb2, health_pb2_grpc

from almond.v1 import token_service_pb2
from almond_server.rpc.errors import UnknownServiceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

SERVICE: Final = token_service_pb2.DESCRIPTOR.services_by_name["TokenService"].full_name
LIVE: Final = "live"
FEED: Final = "feed"
DETAIL: Final = "almond-health-detail"

_Request = health_pb2.HealthCheckRequest
_Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """The health of this server: NOT_SERVING at the start, then as `set` says, and for good after `leave`."""

    def __init__(self) -> None:
        self._is_serving = False
        self._is_leaving = False
        self._why = "The server is starting"
        self._problem: str | None = "The feed was not checked yet"
        self._changed = asyncio.Event()

    def set(self, *, serving: bool, why: str = "") -> None:
        """Set whether the service can answer, and if not, why, in ASCII."""
        self._is_serving, self._why = serving, why
        self._notify()

    def set_feed(self, problem: str | None) -> None:
        """Set the problem of the feed, in ASCII; None if it has none."""
        self._problem = problem
        self._notify()

    def leave(self) -> None:
        """Become NOT_SERVING for good; the process stays alive while it drains."""
        self._is_leaving = True
        self._notify()

    async def Check(self, request: _Request, context: grpc.aio.ServicerContext[Any, Any]) -> _Response:  # noqa: N802
        """Answer once. Raises `UnknownServiceError` for other names."""
        status = self._status(request.service)
        if status == _Response.SERVICE_UNKNOWN:
            raise UnknownServiceError(f'Health is known of "", "{SERVICE}", "{LIVE}" and "{FEED}".')
        detail = self._detail(request.service)
        if status == _Response.NOT_SERVING and detail:
            context.set_trailing_metadata(((DETAIL, detail),))
        return _Response(status=status)

    async def Watch(  # noqa: N802
        self, request: _Request, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[_Response]:
        """Send the status at once and at every change, until `leave`; a slow reader gets the newest."""
        del context
        sent: int | None = None
        while True:
            # Taken before the status is read, so that a change in between is not missed.
            changed = self._changed
            status = self._status(request.service)
            if status != sent:
                sent = status
                yield _Response(status=status)
            # No other status will follow, and an open stream would use up the time that others have to end.
            if self._is_leaving:
                return
            await changed.wait()

    def _status(self, name: str) -> Any:
        if name not in {"", SERVICE, LIVE, FEED}:
            return _Response.SERVICE_UNKNOWN
        is_good = self._is_serving and not self._is_leaving
        if name in {LIVE, FEED}:
            is_good = name == LIVE or self._problem is None
        return _Response.SERVING if is_good else _Response.NOT_SERVING

    def _detail(self, name: str) -> str:
        """Return why something is not serving, as metadata can hold it."""
        why = "The server is stopping" if self._is_leaving else self._why
        text = (self._problem or "") if name == FEED else why
        return text.encode("ascii", "replace").decode()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
