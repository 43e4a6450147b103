"""Writes a server stream one message at a time; ends the call if the client does not read for ten seconds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

from almond_server.errors import WatcherTooSlowError

if TYPE_CHECKING:
    from types import TracebackType

    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

PATIENCE_SECONDS: Final = 10.0
"""How long one message may wait to be read: two intervals of the slowest heartbeats."""

_TOO_SLOW: Final = "This watcher did not read what it was sent; watch again from the last revision you got."


class StreamWriter:
    """The writer of one stream, a context manager around all messages that are sent.

    Leaving it raises `WatcherTooSlowError` if a message waited too long. It has one timer for the stream: one
    for each message would cost a third of the time in which gRPC sends it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._sent_at: float | None = None
        self._timer = self._loop.call_later(PATIENCE_SECONDS, self._check_client)

    async def send(self, message: bytes) -> None:
        """Send a message, and wait until the client has room for it.

        gRPC holds one message in flight, and the status waits behind it; keepalive ends the call if the peer
        is dead.
        """
        self._sent_at = self._loop.time()
        await self._context.write(message)
        self._sent_at = None

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            raise WatcherTooSlowError(_TOO_SLOW) from None

    def _check_client(self) -> None:
        now = self._loop.time()
        waits_since = now if self._sent_at is None else self._sent_at
        if now - waits_since >= PATIENCE_SECONDS:
            self._limit.reschedule(now)
        else:
            self._timer = self._loop.call_at(waits_since + PATIENCE_SECONDS, self._check_client)
