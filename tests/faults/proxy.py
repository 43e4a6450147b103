"""A TCP proxy on loopback in front of a server, on which the network can be made to fail."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

Upstream = str | tuple[str, int]
"""A unix socket's path, or host and port."""

_T = TypeVar("_T")
_CHUNK = 65_536


class FaultProxy:
    """Forwards bytes, on a thread of its own, until a fault is set. Ends with its `with` block."""

    def __init__(self, upstream: Upstream, translate: Callable[[bytes], bytes] = bytes) -> None:
        """Forward to `upstream`; `translate` maps each chunk that comes back from it."""
        self._upstream = upstream
        self._translate = translate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._delay = 0.0
        self._refuses = self._swallows = False
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def heal(self) -> None:
        """Forward again. Connections that lost bytes are reset, as their ends cannot recover."""

        async def change() -> None:
            if self._swallows:
                self._reset()
            self._delay, self._refuses, self._swallows = 0.0, False, False

        self._do(change())

    def cut(self) -> None:
        """Reset all connections, and every new one."""

        async def change() -> None:
            self._refuses = True
            self._reset()

        self._do(change())

    def delay(self, seconds: float) -> None:
        """Delay everything in both directions."""

        async def change() -> None:
            self._delay = seconds

        self._do(change())

    def half_open(self) -> None:
        """Accept connections and bytes, and forward nothing."""

        async def change() -> None:
            self._swallows = True

        self._do(change())

    def close(self) -> None:
        """Close all connections and end the thread."""

        async def end() -> None:
            self._server.close()
            self._reset()
            current = asyncio.current_task()
            tasks = [task for task in asyncio.all_tasks() if task is not current]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            answers, back = await _connect(self._upstream)
        except OSError:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(back)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, back, bytes))
                pumps.create_task(self._pump(answers, writer, self._translate))
        except asyncio.CancelledError:
            return  # by `close`; the callback of asyncio streams on this task would log it as an error
        finally:
            for end in (writer, back):
                self._writers.discard(end)
                end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, translate: Callable[[bytes], bytes]
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                if self._swallows:
                    continue
                writer.write(translate(chunk))
                await writer.drain()
        writer.transport.abort()  # the end of one direction ends the other


async def _connect(upstream: Upstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(upstream, str):
        return await asyncio.open_unix_connection(upstream)
    return await asyncio.open_connection(*upstream)
