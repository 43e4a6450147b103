"""The feed in memory, for tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from almond_server.domain.feed import FeedUnavailableError, Heartbeat, RevocationPage, Snapshot, Tail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from almond_server.domain.revocations import Change


class MemoryFeed:
    """Implements `feed.Feed` for servers that share one object."""

    def __init__(self) -> None:
        """Start empty, and without readers."""
        self.readers = 0
        self._available = True
        self._changes: list[Change] = []
        self._beats: list[Heartbeat] = []
        self._nonces: list[bytes] = []
        self._kept: tuple[int, bytes, list[RevocationPage]] | None = None
        self._changed = asyncio.Event()

    @property
    def problem(self) -> str | None:
        """The current problem with the feed, or None."""
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
        """Fail every method, as if the network was down, until `mend`."""
        self._available = False
        self._notify()

    def mend(self) -> None:
        """Work again."""
        self._available = True

    def flush(self) -> None:
        """Lose everything."""
        self._changes, self._beats, self._nonces, self._kept = [], [], [], None

    async def append(self, change: Change) -> bool:
        """Append a change after its predecessor; return whether it is there now."""
        await self._begin()
        if self._changes and self._changes[-1].number < change.number - 1:
            return False
        if not self._changes or self._changes[-1].number == change.number - 1:
            self._changes.append(change)
            self._notify()
        return True

    async def tail(self) -> Tail | None:
        """Return number and mark of the newest change, or None."""
        await self._begin()
        return Tail(self._changes[-1].number, self._changes[-1].mark) if self._changes else None

    async def restart(self) -> None:
        """Delete all changes, challenges, heartbeats and the snapshot."""
        await self._begin()
        self.flush()

    async def challenge(self, nonce: bytes) -> None:
        """Publish a nonce, which the relay echoes in its next heartbeat."""
        await self._begin()
        self._nonces.append(nonce)

    async def pending_challenges(self) -> Sequence[bytes]:
        """Return and remove the published nonces."""
        await self._begin()
        pending, self._nonces = self._nonces[:1000], self._nonces[1000:]
        return pending

    async def send_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send a heartbeat."""
        await self._begin()
        self._beats.append(heartbeat)
        self._notify()

    async def follow(self, seen: Callable[[], int]) -> AsyncIterator[Change | Heartbeat | None]:
        """Yield changes and heartbeats; raises `FeedUnavailableError` when cut."""
        await self._begin()
        self.readers += 1
        number, beats = seen(), 0
        try:
            while True:
                changed = self._changed
                for change in [each for each in self._changes if each.number > number]:
                    number = change.number
                    yield change
                for beat in self._beats[beats:]:
                    beats += 1
                    yield beat
                if self._changed is changed:
                    await changed.wait()
                await self._begin()
        finally:
            self.readers -= 1

    async def snapshot(self) -> Snapshot | None:
        """Return the snapshot, or None."""
        await self._begin()
        if self._kept is None:
            return None
        number, mark, pages = self._kept
        return Snapshot(number, mark, _each(pages), len(pages))

    async def salvage(self) -> AsyncIterator[RevocationPage]:
        """Yield all entries of the snapshot and of all changes."""
        await self._begin()
        for page in self._kept[2] if self._kept is not None else []:
            yield page
        for change in self._changes:
            yield RevocationPage(change.revocations, change.cut_offs)

    async def publish_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        await self._begin()
        self._kept = (snapshot.number, snapshot.mark, [page async for page in snapshot.pages])

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    async def _begin(self) -> None:
        await asyncio.sleep(0)
        if not self._available:
            raise FeedUnavailableError("the feed was cut")

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _each(pages: list[RevocationPage]) -> AsyncIterator[RevocationPage]:
    for page in pages:
        yield page
