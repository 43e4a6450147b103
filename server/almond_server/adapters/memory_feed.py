"""The feed in memory, for tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from almond_server.ports import FeedUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from almond_server.ports import Change


class MemoryFeed:
    """Implements `ports.Feed`; servers that share one object hear of each other."""

    def __init__(self) -> None:
        """Start without readers."""
        self._readers: set[asyncio.Queue[tuple[str, Change] | None]] = set()
        self._available = True

    def cut(self) -> None:
        """Fail from now on, as if the network was down, until `mend`."""
        self._available = False
        for reader in self._readers:
            reader.put_nowait(None)

    def mend(self) -> None:
        """Work again."""
        self._available = True

    async def publish(self, epoch: str, change: Change) -> None:
        """Append a change for all readers; raises `FeedUnavailableError` while cut."""
        await asyncio.sleep(0)
        self._must_be_available()
        for reader in self._readers:
            reader.put_nowait((epoch, change))

    async def changes(self) -> AsyncIterator[tuple[str, Change]]:
        """Yield (epoch, change) as they are appended; ends with `FeedUnavailableError` when cut."""
        self._must_be_available()
        reader: asyncio.Queue[tuple[str, Change] | None] = asyncio.Queue()
        self._readers.add(reader)
        try:
            while (heard := await reader.get()) is not None:
                yield heard
        finally:
            self._readers.discard(reader)
        raise FeedUnavailableError("the feed was cut")

    async def close(self) -> None:
        """Let go of nothing."""

    def _must_be_available(self) -> None:
        if not self._available:
            raise FeedUnavailableError("the feed was cut")
