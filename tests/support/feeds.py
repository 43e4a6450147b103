"""What the tests of feeds share: changes in a row, and a listener."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from almond_server.domain.feed import Heartbeat
from almond_server.domain.revocations import Change, Reading
from support.samples import part, whole

if TYPE_CHECKING:
    from almond_server.domain.feed import Feed
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


@dataclass
class Feeds:
    """Two servers' feeds."""

    mine: Feed
    theirs: Feed


class Listener:
    """Reads a feed in the background, as a server whose view goes along."""

    def __init__(self, feed: Feed, seen: int = 0) -> None:
        self.seen = seen
        self._feed = feed
        self._heard: asyncio.Queue[Change | Heartbeat | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def next(self) -> Change | Heartbeat | None:
        return await asyncio.wait_for(self._heard.get(), 4)

    async def next_change(self) -> Change:
        while not isinstance(heard := await self.next(), Change):
            pass
        return heard

    async def _listen(self) -> None:
        async for heard in self._feed.follow(lambda: self.seen):
            if isinstance(heard, Change):
                self.seen = max(self.seen, heard.number)
            self._heard.put_nowait(heard)
