"""The relay: the one elected server that maintains the feed for all of them.

It answers challenges with heartbeats, appends changes that a crashed server left unpublished, writes the
snapshot, and prunes the store. Every server stands for election. What is due to be revoked, the relay revokes
beside these rounds (`due_revocations`).

Rules:
* It takes the pending challenges before it reads the store: only then was what the heartbeat says read after
  the nonces that it echoes were published (ADR 15).
* It appends what the feed lacks before it sends the heartbeat: it proves no view that lacks a change.
* It resigns when it cannot reach the store or the feed, so that another server can take over.
* Two relays at once do twice the work and no harm: the feed refuses what is out of order, heartbeats add up.
* It begins the feed anew if the newest change there is not genuine, or the store has pruned it. If the store
  never had that change, it keeps the feed and raises the alarm: the store has lost it.
* It prunes nothing while the clocks differ, nor in the server's first hour: by a wrong time it would delete
  revocations of live tokens.

Must not know Redis or SQL, nor how the election works.
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
_REFILLED_CHANGES: Final = 1000
"""How many changes an empty feed gets again: for servers that are behind and cannot read the store."""

_PAGE: Final = 2000
"""Entries of a chunk of the snapshot: as many as are written in a few milliseconds."""

_SNAPSHOT_CHANGES: Final = 1000
_SNAPSHOT_SECONDS: Final = 60.0
_PRUNE_SECONDS: Final = 60.0
_FIRST_PRUNE_SECONDS: Final = 3600.0
"""An SQLite store takes its time from servers; a clock that was wrong at the start is right by then."""

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
        heartbeat_seconds: float,
    ) -> None:
        """Stand for election, and work every `heartbeat_seconds`; `follower` reads the store."""
        self._election = election
        self._revocations = revocations
        self._feed = feed
        self._follower = follower
        self._clock = clock
        self._heartbeat_seconds = heartbeat_seconds
        self.has_won = False
        """Whether it won the election in its last iteration, even if it resigned since: what needs no feed,
        it can do all the same.
        """
        self._problem = ""
        """Why it resigned; logged once, not at every iteration while that lasts."""
        self.is_elected = False
        """Whether this server is the relay, as of its last iteration."""
        self.lag = 0
        """Revisions of the store that the feed lacked after the last iteration; 0 if it is not elected."""
        self._snapshot_task: asyncio.Task[None] | None = None
        self._snapshot_at = clock.monotonic()
        self._prune_at = self._snapshot_at + _FIRST_PRUNE_SECONDS

    async def run(self) -> None:
        """Stand for election and work until cancelled."""
        try:
            while True:
                await self.run_once()
                await asyncio.sleep(self._heartbeat_seconds)
        finally:
            if self._snapshot_task is not None:
                self._snapshot_task.cancel()
            await self._election.resign()

    async def run_once(self) -> None:
        """Do the work once, if elected; resign if the store or the feed cannot be reached."""
        won = await self._election.is_won()
        if won and not self.has_won and not self._problem:
            log.info("relay.elected")
        self.has_won = self.is_elected = won
        if not won:
            self.lag = 0
            return
        try:
            await self._work()
            if self._problem:
                log.info("relay.elected")
            self._problem = ""
        except FeedGarbledError as error:
            log.warning("feed.garbled", why=str(error))
            await self._restart_feed()
        except (FeedUnavailableError, CannotKnowError) as error:
            if str(error) != self._problem:
                log.warning("relay.resigns", why=str(error))
            self._problem = str(error)
            await self._resign()

    async def _work(self) -> None:
        # They are taken before the reading, which answers them.
        nonces = await self._feed.pending_challenges()
        reading = await self._follower.catch_up()
        await self._append_missing(reading)
        await self._feed.send_heartbeat(Heartbeat(reading, frozenset(nonces)))
        await self._snapshot_if_due(reading)
        await self._prune_if_due()

    async def _append_missing(self, reading: Reading) -> None:
        tail = await self._feed.tail()
        if not await self._follower.store_confirms(tail):
            raise FeedGarbledError("the newest change is one that the store has pruned")
        number = max(0, reading.number - _REFILLED_CHANGES) if tail is None else tail.number
        self.lag = max(0, reading.number - number)
        try:
            while number < reading.number:
                for change in await self._revocations.changes_after(number, _BATCH):
                    if not await self._feed.append(change):
                        # Another server appends too; the next iteration checks again.
                        return
                    number = change.number
                    self.lag = max(0, reading.number - number)
        except RevisionForgottenError:
            # The change is older than any reader can use.
            return

    async def _restart_feed(self) -> None:
        try:
            await self._feed.restart()
        except FeedUnavailableError:
            await self._resign()

    async def _resign(self) -> None:
        self.is_elected, self.lag = False, 0
        await self._election.resign()

    async def _snapshot_if_due(self, reading: Reading) -> None:
        if self._snapshot_task is not None and not self._snapshot_task.done():
            return
        snapshot, now = await self._feed.snapshot(), self._clock.monotonic()
        changes = _SNAPSHOT_CHANGES if snapshot is None else reading.number - snapshot.number
        if changes >= _SNAPSHOT_CHANGES or (changes > 0 and now - self._snapshot_at >= _SNAPSHOT_SECONDS):
            # A task of its own: a large snapshot takes longer than the time between two heartbeats.
            self._snapshot_at, self._snapshot_task = now, asyncio.create_task(self._write_snapshot(reading))

    async def _write_snapshot(self, reading: Reading) -> None:
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

    async def _prune_if_due(self) -> None:
        # With a wrong time, revocations of live tokens would be deleted.
        self._follower.require_sound()
        now = self._clock.monotonic()
        if now >= self._prune_at and not await self._revocations.prune(_BATCH):
            self._prune_at = now + _PRUNE_SECONDS
