"""One watch, from its beginning: a snapshot, what the log has no more, then the log, with heartbeats.

Must not know who else watches, nor how slowly anybody reads.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from almond_server.domain.revision import Revision
from almond_server.domain.stores import RevisionForgottenError
from almond_server.errors import CannotKnowError, ChangesForgottenError, DrainingError, WrongRevisionError
from almond_server.tokens import permissions
from almond_server.watch.change_log import (
    FORGOTTEN,
    MAX_ENTRIES,
    Batch,
    Cursor,
    LoggedChange,
    all_entries,
    batch,
)
from almond_server.watch.events import Begin, Heartbeat, SnapshotChunk, Started
from almond_server.watch.org_filter import OrgFilter, Proof, concerning, cut_offs_of, of_org

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from almond_server.domain.revocations import Change, Revocation
    from almond_server.domain.stores import Revocations
    from almond_server.revocation.follower import Follower
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Callers
    from almond_server.watch.change_log import ChangeLog, EntryFilter
    from almond_server.watch.events import Event

_STORE_CHANGES: Final = 100
_STORE_READS: Final = 4
"""How many watchers read the store at once, a page each: for a snapshot, or what the log has no more."""

_BATCHES_KEPT: Final = 64

_JUST_NOW_SECONDS: Final = 0.05
"""A watcher's token that was looked at so short a time ago, for changes, is not for the heartbeat after them,
if the view is at the same revision still."""


@dataclass(slots=True)
class WatchContext:
    """What all watches draw from; `interval` between heartbeats and `max_staleness` are in seconds."""

    callers: Callers
    changes: ChangeLog
    follower: Follower
    revocations: Revocations
    orgs: OrgFilter
    view: RevocationView
    interval: float
    max_staleness: float
    is_leaving: bool = False
    reads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_STORE_READS))
    _batches: dict[tuple[Cursor, str | None, int], Batch] = field(default_factory=dict)
    _missed: WeakValueDictionary[int, LoggedChange] = field(default_factory=WeakValueDictionary)

    def shared(self, change: Change) -> LoggedChange:
        """Return what is kept of a change that was read from the store, as long as anybody keeps it."""
        return self._missed.setdefault(change.number, LoggedChange(change))

    def batch(self, place: Cursor, org: str | None, limit: int) -> Batch:
        """Return what is next after a place, up to revision `limit`; one value for all who are there."""
        key = (place, org, limit)
        found = self._batches.get(key)
        if found is None:
            found = batch(self.changes.after(place.number, limit), place, choice_of(org))
            self._batches[key] = found
            if len(self._batches) > _BATCHES_KEPT:
                del self._batches[next(iter(self._batches))]
        return found


class WatchStream:
    """What one caller is told; of one org, or of all if it is None. To be read once."""

    def __init__(self, sources: WatchContext, call: Call, org: str | None, arrived: float) -> None:
        """Take the call, which arrived at that time (monotonic seconds)."""
        self._from = sources
        self._call = call
        self._arrived = arrived
        self._checked_at = 0.0
        self._checked_under: Revision | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._place = Cursor(sources.changes.head)
        self.org = org
        self.wake = asyncio.Event()
        """Set it where there may be news."""

    @property
    def is_behind(self) -> bool:
        """Whether there is something that it was not told yet."""
        return self._place.number < self._limit

    @property
    def _limit(self) -> int:
        return self._from.changes.head if self.org is None else self._from.orgs.limit

    async def events(self, start: Revision | Begin) -> AsyncGenerator[Event, None]:
        """Yield what happens, on and on; raises as `WatchHub.watch`."""
        self._check_leaving()
        await self._from.follower.waits.until_read_since(self._arrived)
        revision = self._from.view.revision
        if isinstance(start, Revision):
            await self._require_known(start)
            revision = start
        self._place = Cursor(revision.number)
        self._check()
        store_time = self._from.view.store_time
        yield Started(revision, store_time, self._from.interval, self._from.max_staleness)
        if start is Begin.SNAPSHOT:
            async for page in self._snapshot(revision):
                yield page
        async for missed in self._missed():
            yield missed
        async for event in self._live():
            yield event

    def close(self) -> None:
        """Let go of its timer."""
        if self._timer is not None:
            self._timer.cancel()

    async def _require_known(self, revision: Revision) -> None:
        if not self._from.view.has_seen(revision):
            raise WrongRevisionError(
                "No revision of that number was given out; use one that Revoke, Verify or a watch told."
            )
        if revision.number < self._from.changes.start:
            async with self._from.reads:
                if await self._from.revocations.mark_of(revision.number) is None:
                    raise ChangesForgottenError(FORGOTTEN)

    async def _snapshot(self, revision: Revision) -> AsyncIterator[SnapshotChunk]:
        async with self._from.reads:
            cut_offs = await self._from.revocations.cut_offs(revision.number)
        cut_offs = cut_offs if self.org is None else cut_offs_of(self.org, cut_offs)
        for start in range(0, len(cut_offs), MAX_ENTRIES):
            yield SnapshotChunk((), cut_offs[start : start + MAX_ENTRIES])
        last: Revocation | None = None
        while True:
            self._check_if_due()
            async with self._from.reads:
                entries = await self._from.revocations.page(revision.number, last, MAX_ENTRIES)
                homes = await self._homes(entries)
            told = entries if self.org is None else concerning(self.org, entries, homes)
            is_last = len(entries) < MAX_ENTRIES
            # Though it be empty: a client takes a stream on which nothing comes for dead.
            yield SnapshotChunk(told, (), revision if is_last else None)
            if is_last:
                return
            last = entries[-1]

    async def _missed(self) -> AsyncIterator[Batch]:
        """Yield from the store what the log has no more."""
        choice = choice_of(self.org)
        while self._place.number < self._from.changes.start:
            async with self._from.reads:
                try:
                    changes = await self._from.revocations.changes_after(self._place.number, _STORE_CHANGES)
                except RevisionForgottenError:
                    raise ChangesForgottenError(FORGOTTEN) from None
                # The store may be ahead of the view, and nobody is told what this server does not know.
                # One of each for all who catch up, however large it is and however slowly they read.
                missed = [
                    self._from.shared(each) for each in changes if each.number <= self._from.changes.head
                ]
                del changes
                if self.org is not None:
                    await self._from.orgs.tell_homes(missed)
            if not missed:
                raise CannotKnowError("The store's revisions have a gap; an operator must look at it.")
            while self._place.number < missed[-1].change.number:
                self._check_if_due()
                rest = [each for each in missed if each.change.number > self._place.number]
                yield self._step(batch(rest, self._place, choice))

    async def _homes(self, entries: Sequence[Revocation]) -> dict[str, str]:
        if self.org is None:
            return {}
        return await self._from.orgs.homes_of([each.token_id for each in entries])

    async def _live(self) -> AsyncIterator[Batch | Heartbeat]:
        while True:
            self.wake.clear()
            limit, proof = self._limit, self._proof()
            while self._place.number < limit:
                self._check_place()
                self._check_if_due()
                yield self._step(self._from.batch(self._place, self.org, limit))
            self._check_place()
            if self._is_due:
                # There may always be more, for who reads slowly. What was told then is as new as it was then.
                heartbeat = self._heartbeat(proof if self.is_behind else self._proof())
                self._rearm()
                if heartbeat is not None:
                    yield heartbeat
            # What comes while something is on its way is told in the next round.
            await self.wake.wait()

    def _step(self, told: Batch) -> Batch:
        self._place = told.end
        return told

    def _heartbeat(self, proof: Proof | None) -> Heartbeat | None:
        """Check the watcher's own token, and say how new what it was told is; None if nobody knows."""
        if proof is None or not self._from.view.is_fresh:
            return None
        if self._checked_under is not self._from.view.revision or self._is_unchecked_for(_JUST_NOW_SECONDS):
            self._check()
        revision = Revision(self._from.view.revision.epoch, self._place.number)
        return Heartbeat(revision, proof.store_time, proof.read_at - self._arrived)

    def _proof(self) -> Proof | None:
        proof = proof_of(self._from.view, self._from.changes) if self.org is None else self._from.orgs.proof
        if proof is None or not self._from.view.is_fresh:
            return None
        return proof if proof.read_at >= self._arrived else None

    def _check(self) -> None:
        self._checked_at, self._checked_under = asyncio.get_running_loop().time(), self._from.view.revision
        self._from.callers.permit(self._call, permissions.to_watch(self.org))

    def _check_place(self) -> None:
        self._check_leaving()
        self._from.changes.require_logged(self._place)

    def _check_leaving(self) -> None:
        if self._from.is_leaving:
            raise DrainingError("This server is going; watch again from the last revision that you got.", 0.1)

    @property
    def _is_due(self) -> bool:
        return asyncio.get_running_loop().time() >= self._due

    def _check_if_due(self) -> None:
        self._check_leaving()
        if self._is_unchecked_for(self._from.interval):
            self._check()

    def _is_unchecked_for(self, seconds: float) -> bool:
        return asyncio.get_running_loop().time() >= self._checked_at + seconds

    def _rearm(self) -> None:
        # Those who came at once, as after a restart, are not all told at once for ever.
        interval = self._from.interval if self._due else random.uniform(0, self._from.interval)  # noqa: S311
        loop = asyncio.get_running_loop()
        self._due = loop.time() + interval
        self._timer = loop.call_at(self._due, self.wake.set)


def choice_of(org: str | None) -> EntryFilter:
    """Return how to choose what a watcher of an org, or of all, is told."""
    return all_entries if org is None else of_org(org)


def proof_of(view: RevocationView, changes: ChangeLog) -> Proof | None:
    """Say how new the log is; None if nobody knows."""
    if view.proven_at is None or view.revision.number != changes.head:
        return None
    return Proof(changes.head, view.proven_at, view.store_time)
