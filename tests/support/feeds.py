"""Changes, heartbeats and snapshot pages for the tests of feeds, and a reader of a feed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from almond_server.domain.feed import Heartbeat
from almond_server.domain.revocations import Change, Reading
from support.samples import part, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from almond_server.domain.feed import Feed, RevocationPage
    from almond_server.domain.revocations import Revocation

KEY = bytes(range(32))
EPOCH = "0123abcd"
NONCE = b"8 bytes!"


def mark(number: int) -> bytes:
    return number.to_bytes(8, "big")


def change(number: int, *revocations: Revocation) -> Change:
    entries = revocations or (whole(f"t{number}"), part(f"u{number}", 7))
    return Change(number, mark(number), mark(number - 1), entries)


def of_another_past(number: int) -> Change:
    return replace(change(number), mark=b"another!", before=b"past")


def beat(number: int, *asked: bytes) -> Heartbeat:
    return Heartbeat(Reading(EPOCH, number, mark(number), 1_800_000_000), frozenset(asked))


async def pages_of(*pages: RevocationPage) -> AsyncIterator[RevocationPage]:
    """Yield pages as a snapshot does."""
    for page in pages:
        yield page


@dataclass
class Feeds:
    """The feeds of two servers on one Redis."""

    mine: Feed
    theirs: Feed


class Listener:
    """Reads a feed in the background, as a server whose view has every change up to `seen`."""

    def __init__(self, feed: Feed, seen: int = 0) -> None:
        self.seen = seen
        self._feed = feed
        self._received: asyncio.Queue[Change | Heartbeat | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def next(self) -> Change | Heartbeat | None:
        return await asyncio.wait_for(self._received.get(), 4)

    async def next_change(self) -> Change:
        while not isinstance(received := await self.next(), Change):
            pass
        return received

    async def _listen(self) -> None:
        async for received in self._feed.follow(lambda: self.seen):
            if isinstance(received, Change):
                self.seen = max(self.seen, received.number)
            self._received.put_nowait(received)
