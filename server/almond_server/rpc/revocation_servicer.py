"""Serves `almond.v1.RevocationService`: streams of revocations."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from almond.v1 import revocation_service_pb2 as pb
from almond.v1 import revocation_service_pb2_grpc
from almond_core.errors import FieldError
from almond_server.domain.revision import Revision
from almond_server.rpc.call_metadata import call_of
from almond_server.rpc.watch_responses import encoded
from almond_server.watch.events import Begin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from almond_server.watch.hub import WatchHub

    Context = grpc.aio.ServicerContext[Any, Any]


class RevocationServicer(revocation_service_pb2_grpc.RevocationServiceServicer):
    """`almond.v1.RevocationService`."""

    def __init__(self, watches: WatchHub, epoch: str) -> None:
        """Serve streams of `watches`; `epoch` is the store's, which stays as long as this server runs."""
        self._watches = watches
        self._epoch = epoch

    async def WatchRevocations(  # type: ignore[override] # noqa: N802 - bytes that several calls share
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[bytes]:
        """Send revocations until the call ends."""
        events = self._watches.watch(call_of(context), _start(request), request.org or None)
        async with contextlib.aclosing(events):
            async for event in events:
                yield encoded(event, self._epoch)


def _start(request: pb.WatchRevocationsRequest) -> Revision | Begin:
    match request.WhichOneof("start"):
        case "after_revision":
            return Revision.parse("after_revision", request.after_revision)
        case "from_now":
            return Begin.NOW
        case "snapshot":
            return Begin.SNAPSHOT
        case _:
            raise FieldError("start", "one of after_revision, from_now and snapshot")
