"""The relay: the one server that does for all what the feed needs beside the changes themselves.

Heartbeats for those who do not see the store, changes that a crash left behind, the snapshot, and pruning.
Every server stands for election; two relays at once would be twice the work and no harm.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from almond_server.domain.feed import (
    FeedGarbledError,
    FeedUnavailableError,
    Heartbeat,
    RevocationPage,
    Snapshot,
)
from almond_server.domain.stores import RevisionForgottenError
from almond_server.errors import CannotKnowError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from almond_server.domain.clock import Clock
    from almond_server.domain.feed import Election, Feed
    from almond_server.domain.revocations import Reading, Revocation
    from almond_server.domain.stores import Revocations
    from almond_server.revocation.follower import Follower

_BATCH: Final = 1000
_KEPT_CHANGES: Final = 1000
"""How many changes a feed that was lost gets again: for readers that are behind, and do not see the store."""

_PAGE: Final = 2000
"""Entries of a chunk of the snapshot: as many as are written in a few milliseconds."""

_SNAPSHOT_CHANGES: Final = 1000
_SNAPSHOT_SECONDS: Final = 60.0
_PRUNE_SECONDS: Final = 60.0
_FIRST_PRUNE_SECONDS: Final = 3600.0
"""An SQLite store knows the time from its servers; a clock that was wrong at the start is right by then."""

log = structlog.get_logger()


class Relay:
    """Does the relay's work for as long as this server is elected."""

    def __init__(
        self,
        election: Election,
        revocations: Revocations,
        feed: Feed,
        follower: Follower,
        clock: Clock,
        beat_seconds: float,
    ) -> None:
        """Take the election, the store's side, the feed, and who reads the store for this server."""
        self._election = election
        self._revocations = revocations
        self._feed = feed
        self._follower = follower
        self._clock = clock
        self._beat_seconds = beat_seconds
        self._was_won = False
        self._trouble = ""
        """Why it resigned; told once, not at every turn for as long as that lasts."""
        self.is_elected = False
        """Whether this server is the relay, as of its last turn."""
        self.lag = 0
        """Revisions of the store that the feed lacked after its last turn; 0 if it is not elected."""
        self._keeping: asyncio.Task[None] | None = None
        self._kept_at = clock.monotonic()
        self._prunes_at = self._kept_at + _FIRST_PRUNE_SECONDS

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await self.run_once()
                await asyncio.sleep(self._beat_seconds)
        finally:
            if self._keeping is not None:
                self._keeping.cancel()
            await self._election.resign()

    async def run_once(self) -> None:
        """Do one round, if elected. A relay that cannot reach store or feed lets another one try."""
        won = await self._election.is_won()
        if won and not self._was_won and not self._trouble:
            log.info("relay.elected")
        self._was_won = self.is_elected = won
        if not won:
            self.lag = 0
            return
        try:
            await self._work()
            if self._trouble:
                log.info("relay.elected")
            self._trouble = ""
        except FeedGarbledError as error:
            log.warning("feed.garbled", why=str(error))
            await self._restart()
        except (FeedUnavailableError, CannotKnowError) as error:
            if str(error) != self._trouble:
                log.warning("relay.resigns", why=str(error))
            self._trouble = str(error)
            await self._resign()

    async def _work(self) -> None:
        # Whoever asked before this reading of the store can take it for theirs.
        asked = await self._feed.pending_challenges()
        reading = await self._follower.catch_up()
        await self._mend(reading)
        await self._feed.send_heartbeat(Heartbeat(reading, frozenset(asked)))
        await self._keep(reading)
        await self._prune()

    async def _mend(self, reading: Reading) -> None:
        tail = await self._feed.tail()
        if not await self._follower.compare(tail):
            raise FeedGarbledError("the newest change is one that the store has forgotten")
        number = max(0, reading.number - _KEPT_CHANGES) if tail is None else tail.number
        self.lag = max(0, reading.number - number)
        try:
            while number < reading.number:
                for change in await self._revocations.changes_after(number, _BATCH):
                    if not await self._feed.append(change):
                        return  # another server appends too; the next round looks again
                    number = change.number
                    self.lag = max(0, reading.number - number)
        except RevisionForgottenError:
            return  # older than any reader can use

    async def _restart(self) -> None:
        try:
            await self._feed.restart()
        except FeedUnavailableError:
            await self._resign()

    async def _resign(self) -> None:
        self.is_elected, self.lag = False, 0
        await self._election.resign()

    async def _keep(self, reading: Reading) -> None:
        if self._keeping is not None and not self._keeping.done():
            return
        kept, now = await self._feed.snapshot(), self._clock.monotonic()
        news = _SNAPSHOT_CHANGES if kept is None else reading.number - kept.number
        if news >= _SNAPSHOT_CHANGES or (news > 0 and now - self._kept_at >= _SNAPSHOT_SECONDS):
            # Beside the heartbeats: a large one takes its time.
            self._kept_at, self._keeping = now, asyncio.create_task(self._keep_now(reading))

    async def _keep_now(self, reading: Reading) -> None:
        try:
            await self._feed.publish_snapshot(Snapshot(reading.number, reading.mark, self._pages(reading)))
        except (FeedUnavailableError, CannotKnowError) as error:
            log.warning("relay.no_snapshot", why=str(error))

    async def _pages(self, reading: Reading) -> AsyncIterator[RevocationPage]:
        cut_offs = await self._revocations.cut_offs(reading.number)
        for start in range(0, len(cut_offs), _PAGE):
            yield RevocationPage((), cut_offs[start : start + _PAGE])
        last: Revocation | None = None
        while entries := await self._revocations.page(reading.number, last, _PAGE):
            yield RevocationPage(entries)
            last = entries[-1]

    async def _prune(self) -> None:
        self._follower.require_sound()  # by a time that is not, live tokens would be forgotten
        now = self._clock.monotonic()
        if now >= self._prunes_at and not await self._revocations.prune(_BATCH):
            self._prunes_at = now + _PRUNE_SECONDS
