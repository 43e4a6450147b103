"""A watch of revocations: a stream that reconnects by itself and reports the maximum age of its data.

Knows nothing of what the reader does with the events.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, TypeAlias

import grpc

from almond.v1 import revocation_service_pb2 as pb
from almond_client.errors import AlmondRpcError, CannotKnowError, ResourceExhaustedError, error_of

Event: TypeAlias = pb.WatchStarted | pb.SnapshotChunk | pb.RevocationChange | pb.Heartbeat
OpenStream: TypeAlias = Callable[[pb.WatchRevocationsRequest], "grpc.aio.UnaryStreamCall[Any, Any]"]

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_START_SECONDS: Final = 10.0
"""The longest wait for the first message of a stream."""

_STREAM_SECONDS: Final = 3600.0
"""The longest use of one stream, up to the next heartbeat. It bounds how far the two clocks drift apart."""

_BUSY: Final = frozenset({"WATCHER_TOO_SLOW", "TOO_MANY_WATCHERS"})

# This clock also counts while the machine sleeps, where the system has it: the data gets older meanwhile.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return monotonic seconds."""
    return time.clock_gettime(_CLOCK)


class Watch:
    """One watch of revocations, as `AsyncClient.watch` returns it. Iterate over it once.

    It yields `WatchStarted` at the start, and again whenever a snapshot starts anew; `SnapshotChunk`s;
    `RevocationChange`s, each once and in order, none missing; and `Heartbeat`s. A change of over 1,000
    entries comes in parts, the last of which has the revision; if the connection breaks between them, all
    parts come again. The watch reconnects after a break (UNAVAILABLE, a server that shuts down, a server that
    finds the client too slow), and calls `on_break` with the error. It raises an `AlmondRpcError` where a
    retry cannot help: `FailedPreconditionError` (start anew: the proto says how), `UnauthenticatedError`,
    `PermissionDeniedError`, `InvalidArgumentError`.
    """

    def __init__(
        self,
        open_stream: OpenStream,
        request: pb.WatchRevocationsRequest,
        on_break: Callable[[AlmondRpcError], None] | None = None,
    ) -> None:
        self._open_stream = open_stream
        self._on_break = on_break
        self._request = pb.WatchRevocationsRequest()
        self._request.CopyFrom(request)
        self._complete_at = -math.inf
        """The latest time, by `now`, at which the received data is known to be complete."""
        self._read_seconds = _START_SECONDS
        self._has_started = False
        self.max_staleness = 0.0
        """The age in seconds above which the service does not use its data; 0 before `WatchStarted`."""
        self.revision = ""
        """The reader has received all up to here and requested more. Another watch can start after it."""

    def age(self) -> float:
        """Return the age of the data in seconds: an upper bound, infinite before the first heartbeat.

        The reader has received every revocation that was acknowledged longer ago. Delays of the network and
        events that wait to be read count: an event is received once the reader requests the next one.

        The age relies on this machine's clock and the service's clock to run alike since the stream started.
        So the stream starts anew within the hour, and as soon as a heartbeat leaves the age above
        `max_staleness` or lies in the future (such a heartbeat is not used). Time that this clock does not
        count (while a virtual machine is paused) is missing from the age until the next heartbeat is read;
        from then on, no more of it is missing than that heartbeat's own age.
        """
        age = now() - self._complete_at
        return age if age >= 0 else math.inf

    @property
    def is_fresh(self) -> bool:
        """Whether the age is within the service's bound. With older data the reader must not answer yes."""
        return self.age() <= self.max_staleness

    async def __aiter__(self) -> AsyncGenerator[Event, None]:
        """Yield the events, without end."""
        pause = _FIRST_PAUSE
        while True:
            shortest = 0.0
            try:
                async with contextlib.aclosing(self._one_stream()) as events:
                    async for event in events:
                        if isinstance(event, pb.RevocationChange) or (
                            isinstance(event, pb.Heartbeat) and self.is_fresh
                        ):
                            pause = _FIRST_PAUSE
                        yield event
            except AlmondRpcError as error:
                if not _is_transient(error):
                    raise
                if self._on_break is not None:
                    self._on_break(error)
                shortest = error.retry_after or 0.0
            await asyncio.sleep(max(shortest, random.uniform(pause / 2, pause)))  # noqa: S311 - not a secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _one_stream(self) -> AsyncGenerator[Event, None]:
        called_at, self._read_seconds = now(), _START_SECONDS
        ends_at = called_at + _STREAM_SECONDS * random.uniform(0.5, 1)  # noqa: S311 - not a secret
        call = self._open_stream(self._request)
        try:
            while True:
                async with asyncio.timeout(self._read_seconds):
                    response: Any = await call.read()
                if response is grpc.aio.EOF:
                    return
                for event in self._read(response, called_at):
                    # A stream ends only at a heartbeat: `revision` then covers all that was sent, and a long
                    # snapshot, which would start anew each time, is complete. An old heartbeat ends no stream
                    # while the data is fresh: such heartbeats come while the server reads tokens' home orgs.
                    is_last = isinstance(event, pb.Heartbeat) and not (self.is_fresh and now() <= ends_at)
                    yield event
                    if isinstance(event, pb.SnapshotChunk | pb.RevocationChange):
                        self._advance(event.revision)
                    if is_last:
                        return
        except TimeoutError:
            sentence = f"The service sent nothing for {self._read_seconds:g} seconds."
            raise CannotKnowError(grpc.StatusCode.UNAVAILABLE, sentence) from None
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from None
        finally:
            call.cancel()

    def _read(self, response: pb.WatchRevocationsResponse, called_at: float) -> list[Event]:
        match response.WhichOneof("event"):
            case "started":
                return self._start(response.started)
            case "chunk":
                return [response.chunk]
            case "changes":
                return list(response.changes.changes)
            case "heartbeat":
                read_at = called_at + response.heartbeat.read_after.ToNanoseconds() / 1e9
                self._complete_at = max(self._complete_at, read_at)
                if self._complete_at > now():
                    self._complete_at = -math.inf
                return [response.heartbeat]
            case _:
                raise AlmondRpcError(
                    grpc.StatusCode.UNIMPLEMENTED,
                    "The service sent an event that this client does not know: update the client.",
                )

    def _start(self, started: pb.WatchStarted) -> list[Event]:
        self.max_staleness = started.max_staleness.ToNanoseconds() / 1e9
        # A server that cannot refresh its data sends no heartbeats. After this wait another server is tried.
        self._read_seconds = max(self.max_staleness, 3 * started.heartbeat_interval.ToNanoseconds() / 1e9)
        is_first, self._has_started = not self._has_started, True
        if self._request.HasField("snapshot"):
            return [started]
        self._advance(started.revision)
        return [started] if is_first else []

    def _advance(self, revision: str) -> None:
        if revision:
            self.revision = self._request.after_revision = revision


def _is_transient(error: AlmondRpcError) -> bool:
    if isinstance(error, ResourceExhaustedError):
        return error.reason in _BUSY
    return isinstance(error, CannotKnowError) or error.code is grpc.StatusCode.CANCELLED
