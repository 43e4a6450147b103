"""Watching revocations: a stream that goes on by itself after a break, and how old is what it has told.

Must not know what is done with it.
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
"""How long the first message may take."""

_STREAM_SECONDS: Final = 3600.0
"""How long a stream is used, to the heartbeat after it: what two clocks count differently ends with it."""

_BUSY: Final = frozenset({"WATCHER_TOO_SLOW", "TOO_MANY_WATCHERS"})

# Goes on while the machine sleeps, where there is such a clock: knowledge ages then too.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return monotonic seconds."""
    return time.clock_gettime(_CLOCK)


class Watch:
    """What `AsyncClient.watch` returns: iterate over it, once.

    It yields `WatchStarted` at the beginning, and whenever a snapshot begins anew; `SnapshotChunk`s;
    `RevocationChange`s, each once and in order, none missing; and `Heartbeat`s. A change of over 1,000
    entries comes in parts, the last of which has the revision; if the connection breaks in between, all of
    them come again. It goes on after a break (UNAVAILABLE, a server that leaves, one that finds it too slow)
    and raises an `AlmondRpcError` where that makes no sense: `FailedPreconditionError` (begin anew: the proto
    says how), `UnauthenticatedError`, `PermissionDeniedError`, `InvalidArgumentError`.
    """

    def __init__(
        self,
        open_stream: OpenStream,
        request: pb.WatchRevocationsRequest,
        on_break: Callable[[AlmondRpcError], None] | None = None,
    ) -> None:
        """Take how to call, where to begin, and who hears of each break that it will go on after."""
        self._open_stream = open_stream
        self._on_break = on_break
        self._request = pb.WatchRevocationsRequest()
        self._request.CopyFrom(request)
        self._complete_at = -math.inf
        self._read_seconds = _START_SECONDS
        self._has_started = False
        self.max_staleness = 0.0
        """The age in seconds above which the service says nothing by what it knows; 0 until it has begun."""
        self.revision = ""
        """All up to it has been told, and more was asked for. Another watch can begin after it."""

    def age(self) -> float:
        """Return how old is what was told, in seconds: an upper bound; infinite before the first heartbeat.

        Every revocation that was acknowledged longer ago has been told. Whatever came late, or waits to be
        read, counts: an event is told once the one after it is asked for.

        It is counted on this machine's clock and the service's since the stream began. So the stream begins
        anew within the hour, and as soon as a heartbeat leaves the age above `max_staleness` or would come
        from the future; that one counts for nothing. What this clock leaves out (while a virtual machine is
        paused) is missing from the age until the next heartbeat is read, and then no more of it than that
        one's own age.
        """
        age = now() - self._complete_at
        return age if age >= 0 else math.inf

    @property
    def is_fresh(self) -> bool:
        """Whether it is younger than the bound of the service. Nobody may be told yes by what is not."""
        return self.age() <= self.max_staleness

    async def __aiter__(self) -> AsyncGenerator[Event, None]:
        """Yield what happens, on and on."""
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
                    # Only after a heartbeat is all reached that was told; a long snapshot, cut within, would
                    # never end. An old one alone says nothing: such come while home orgs are asked for.
                    is_last = isinstance(event, pb.Heartbeat) and not (self.is_fresh and now() <= ends_at)
                    yield event
                    if isinstance(event, pb.SnapshotChunk | pb.RevocationChange):
                        self._advance(event.revision)
                    if is_last:
                        return
        except TimeoutError:
            sentence = f"Nothing was heard for {self._read_seconds:g} seconds."
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
                    "The service tells what this client does not know: update it.",
                )

    def _start(self, started: pb.WatchStarted) -> list[Event]:
        self.max_staleness = started.max_staleness.ToNanoseconds() / 1e9
        # A server that knows nothing new sends nothing: another one may.
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
