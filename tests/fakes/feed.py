"""The feed in memory, for tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from almond_server.domain.feed import FeedUnavailableError, Heartbeat, RevocationPage, Snapshot, Tail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from almond_server.domain.revocations import Change


class MemoryFeed:
    """Implements `fan_out.Feed`; servers that share one object hear of each other."""

    def __init__(self) -> None:
        """Start empty, and without readers."""
        self.readers = 0
        self._available = True
        self._changes: list[Change] = []
        self._beats: list[Heartbeat] = []
        self._nonces: list[bytes] = []
        self._kept: tuple[int, bytes, list[RevocationPage]] | None = None
        self._news = asyncio.Event()

    @property
    def problem(self) -> str | None:
        """Say what is wrong with it now."""
        return None if self._available and self.readers else "the feed is not read"

    def changes(self) -> list[Change]:
        """Return the changes that it holds, oldest first."""
        return list(self._changes)

    def heartbeats(self) -> list[Heartbeat]:
        """Return the heartbeats that were sent, oldest first."""
        return list(self._beats)

    @property
    def snapshot_number(self) -> int | None:
        """The revision of the snapshot that it holds; None if it holds none."""
        return None if self._kept is None else self._kept[0]

    def cut(self) -> None:
        """Fail from now on, as if the network was down, until `mend`."""
        self._available = False
        self._tell()

    def mend(self) -> None:
        """Work again."""
        self._available = True

    def flush(self) -> None:
        """Lose everything."""
        self._changes, self._beats, self._nonces, self._kept = [], [], [], None

    async def append(self, change: Change) -> bool:
        """Append a change after the one before it."""
        await self._turn()
        if self._changes and self._changes[-1].number < change.number - 1:
            return False
        if not self._changes or self._changes[-1].number == change.number - 1:
            self._changes.append(change)
            self._tell()
        return True

    async def tail(self) -> Tail | None:
        """Return the newest change."""
        await self._turn()
        return Tail(self._changes[-1].number, self._changes[-1].mark) if self._changes else None

    async def restart(self) -> None:
        """Drop all changes, questions, heartbeats and the snapshot."""
        await self._turn()
        self.flush()

    async def challenge(self, nonce: bytes) -> None:
        """Ask the relay to name a nonce in its next heartbeat."""
        await self._turn()
        self._nonces.append(nonce)

    async def pending_challenges(self) -> Sequence[bytes]:
        """Take the nonces of those who asked."""
        await self._turn()
        taken, self._nonces = self._nonces[:1000], self._nonces[1000:]
        return taken

    async def send_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send a heartbeat."""
        await self._turn()
        self._beats.append(heartbeat)
        self._tell()

    async def follow(self, seen: Callable[[], int]) -> AsyncIterator[Change | Heartbeat | None]:
        """Yield changes and heartbeats; ends with `FeedUnavailableError` when cut."""
        await self._turn()
        self.readers += 1
        number, beats = seen(), 0
        try:
            while True:
                news = self._news
                for change in [each for each in self._changes if each.number > number]:
                    number = change.number
                    yield change
                for beat in self._beats[beats:]:
                    beats += 1
                    yield beat
                if self._news is news:
                    await news.wait()
                await self._turn()
        finally:
            self.readers -= 1

    async def snapshot(self) -> Snapshot | None:
        """Return the newest snapshot."""
        await self._turn()
        if self._kept is None:
            return None
        number, mark, pages = self._kept
        return Snapshot(number, mark, _each(pages), len(pages))

    async def salvage(self) -> AsyncIterator[RevocationPage]:
        """Yield all entries that the feed has."""
        await self._turn()
        for page in self._kept[2] if self._kept is not None else []:
            yield page
        for change in self._changes:
            yield RevocationPage(change.revocations, change.cut_offs)

    async def publish_snapshot(self, snapshot: Snapshot) -> None:
        """Put a snapshot in place of the one before it."""
        await self._turn()
        self._kept = (snapshot.number, snapshot.mark, [page async for page in snapshot.pages])

    async def close(self) -> None:
        """Let go of nothing."""

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if not self._available:
            raise FeedUnavailableError("the feed was cut")

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


async def _each(pages: list[RevocationPage]) -> AsyncIterator[RevocationPage]:
    for page in pages:
        yield page
