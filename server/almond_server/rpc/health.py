"""grpc.health.v1: what load balancers and supervisors ask.

`""` and the service follow what the server knows; `live` is the process; `feed` is what carries news between
servers, without which they are slower and no less right. What is wrong with it, Check tells in words, in the
trailing metadata `almond-health-detail`; it changes nothing of the others.

Our own, because in the package's servicer a watcher that leaves takes the others' notifications along, one
that does not read holds up whoever sets the status, and every name ever asked for stays in memory.
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
    """Starts not serving, follows `set`, and is not serving for good after `leave`."""

    def __init__(self) -> None:
        """Say that the process lives and cannot answer yet."""
        self._serving = False
        self._left = False
        self._problem: str | None = "The feed was not looked at yet"
        self._turned = asyncio.Event()

    def set(self, *, serving: bool) -> None:
        """Say whether the service can answer."""
        self._serving = serving
        self._tell()

    def set_feed(self, problem: str | None) -> None:
        """Say what is wrong with the feed, in ASCII; None if nothing is."""
        self._problem = problem
        self._tell()

    def leave(self) -> None:
        """Say NOT_SERVING for good; the process lives on while it drains."""
        self._left = True
        self._tell()

    async def Check(self, request: _Request, context: grpc.aio.ServicerContext[Any, Any]) -> _Response:  # noqa: N802
        """Answer once; raises `UnknownServiceError` for other names."""
        status = self._status(request.service)
        if status == _Response.SERVICE_UNKNOWN:
            raise UnknownServiceError(f'Health is known of "", "{SERVICE}", "{LIVE}" and "{FEED}".')
        if request.service == FEED and self._problem is not None:
            context.set_trailing_metadata(((DETAIL, self._problem),))
        return _Response(status=status)

    async def Watch(  # noqa: N802
        self, request: _Request, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[_Response]:
        """Answer at once and after every turn, until `leave`; a slow reader gets the last of several."""
        del context
        told: int | None = None
        while True:
            turned = self._turned  # before the look: a turn in between is then not missed
            status = self._status(request.service)
            if status != told:
                told = status
                yield _Response(status=status)
            if self._left:
                return  # nothing more will come, and an open stream would use up the grace of the others
            await turned.wait()

    def _status(self, name: str) -> Any:
        if name not in {"", SERVICE, LIVE, FEED}:
            return _Response.SERVICE_UNKNOWN
        good = self._serving and not self._left
        if name in {LIVE, FEED}:
            good = name == LIVE or self._problem is None
        return _Response.SERVING if good else _Response.NOT_SERVING

    def _tell(self) -> None:
        self._turned.set()
        self._turned = asyncio.Event()
