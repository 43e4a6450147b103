"""Who reads a stream: told one message after the other, and given up on where one waits for too long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

from almond_server.errors import WatcherTooSlowError

if TYPE_CHECKING:
    from types import TracebackType

    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

PATIENCE_SECONDS: Final = 10.0
"""How long one message of a stream may wait for its reader: two heartbeats, where they are slowest."""

_TOO_SLOW: Final = "This watcher did not read what it was sent; watch again from the last revision you got."


class StreamWriter:
    """To be entered around all that is told; leaving raises `WatcherTooSlowError` if that is why it ends.

    It has one timer a stream: one a message would take a third of the time that gRPC takes to send it.
    """

    def __init__(self, context: Context) -> None:
        """Take the call."""
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._told_at: float | None = None
        self._timer = self._loop.call_later(PATIENCE_SECONDS, self._look)

    async def send(self, message: bytes) -> None:
        """Send a message, and wait until its reader has room for it.

        gRPC keeps one on its way, and the status waits behind that; keepalive ends the call if the peer is
        dead.
        """
        self._told_at = self._loop.time()
        await self._context.write(message)
        self._told_at = None

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

    def _look(self) -> None:
        now = self._loop.time()
        waits_since = now if self._told_at is None else self._told_at
        if now - waits_since >= PATIENCE_SECONDS:
            self._limit.reschedule(now)
        else:
            self._timer = self._loop.call_at(waits_since + PATIENCE_SECONDS, self._look)
