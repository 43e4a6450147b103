"""One WatchRevocations stream: a snapshot if asked for, then the changes, with heartbeats.

The changes that the in-memory log no longer holds are read from the store; live ones come from the log.

Rules:

* Nothing is sent that this server's view has not applied: the store may be ahead of it.
* A heartbeat is sent only after every change up to its revision, only while the view is fresh, and only if
  the store was read after the watcher's call arrived. Its age counts from that reading.
* A watcher of one org is sent nothing newer than the change up to which home orgs are known.
* The watcher's token is checked at the start, at every heartbeat, and at least once an interval while changes
  are sent; the stream ends when it no longer permits the watch.
* What the log has dropped, and the store no longer has either, ends the stream: a gap is never skipped.

Must not know the other streams, nor how slowly a watcher reads.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from almond_server.domain.revision import Revision
from almond_server.domain.stores import RevisionForgottenError
from almond_server.errors import CannotKnowError, ChangesForgottenError, DrainingError, WrongRevisionError
from almond_server.watch.change_log import FORGOTTEN, MAX_ENTRIES, Cursor, next_batch
from almond_server.watch.context import filter_of, proof_of
from almond_server.watch.events import Begin, Heartbeat, SnapshotChunk, Started
from almond_server.watch.org_filter import cut_offs_for, revocations_for
from almond_server.watch.position import WatchPosition
from almond_server.watch.recheck import TokenRecheck

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from almond_server.domain.revocations import Revocation
    from almond_server.tokens.callers import Call
    from almond_server.watch.change_log import Batch
    from almond_server.watch.context import WatchContext
    from almond_server.watch.events import Event
    from almond_server.watch.org_filter import Proof

_STORE_CHANGES: Final = 100
"""Changes read from the store at once."""


class WatchStream:
    """The events that one watcher is sent: of one org, or of all if it is None. To be iterated once."""

    def __init__(self, context: WatchContext, call: Call, org: str | None, arrived: float) -> None:
        """Serve a call that arrived at `arrived` (monotonic seconds)."""
        self._context = context
        self._arrived = arrived
        self._position = WatchPosition(context, org)
        self._recheck = TokenRecheck(context.callers, context.view, call, org)
        self._heartbeat_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.org = org
        self.wake = asyncio.Event()
        """Set it when there may be something to send."""

    @property
    def is_behind(self) -> bool:
        """Whether there is a change that the watcher may be sent and was not."""
        return self._position.is_behind

    async def events(self, start: Revision | Begin) -> AsyncGenerator[Event, None]:
        """Yield events until the call ends; raises as `WatchHub.watch`."""
        self._require_serving()
        await self._context.follower.waits.until_read_since(self._arrived)
        revision = self._context.view.revision
        if isinstance(start, Revision):
            await self._require_known(start)
            revision = start
        self._position.cursor = Cursor(revision.number)
        self._recheck.check()
        store_time = self._context.view.store_time
        yield Started(revision, store_time, self._context.interval, self._context.max_staleness)
        if start is Begin.SNAPSHOT:
            async for chunk in self._snapshot(revision):
                yield chunk
        async for missed in self._missed():
            yield missed
        async for event in self._live():
            yield event

    def close(self) -> None:
        """Cancel the timer of heartbeats."""
        if self._timer is not None:
            self._timer.cancel()

    async def _require_known(self, revision: Revision) -> None:
        if not self._context.view.has_seen(revision):
            raise WrongRevisionError(
                "No revision of that number was given out; use one that Revoke, Verify or a watch returned."
            )
        if revision.number < self._context.changes.start:
            async with self._context.reads:
                if await self._context.revocations.mark_of(revision.number) is None:
                    raise ChangesForgottenError(FORGOTTEN)

    async def _snapshot(self, revision: Revision) -> AsyncIterator[SnapshotChunk]:
        async with self._context.reads:
            cut_offs = await self._context.revocations.cut_offs(revision.number)
        cut_offs = cut_offs if self.org is None else cut_offs_for(self.org, cut_offs)
        for start in range(0, len(cut_offs), MAX_ENTRIES):
            yield SnapshotChunk((), cut_offs[start : start + MAX_ENTRIES])
        last: Revocation | None = None
        while True:
            self._require_permitted()
            async with self._context.reads:
                page = await self._context.revocations.page(revision.number, last, MAX_ENTRIES)
                homes = await self._homes_of(page)
            revocations = page if self.org is None else revocations_for(self.org, page, homes)
            is_last = len(page) < MAX_ENTRIES
            # Even an empty chunk is sent: a client takes a stream on which nothing comes for dead.
            yield SnapshotChunk(revocations, (), revision if is_last else None)
            if is_last:
                return
            last = page[-1]

    async def _missed(self) -> AsyncIterator[Batch]:
        """Yield the changes that the log no longer holds, read from the store."""
        position, entry_filter = self._position, filter_of(self.org)
        while position.number < self._context.changes.start:
            async with self._context.reads:
                try:
                    changes = await self._context.revocations.changes_after(position.number, _STORE_CHANGES)
                except RevisionForgottenError:
                    raise ChangesForgottenError(FORGOTTEN) from None
                # One object a change for all streams that read it, however large it is and however slowly
                # their watchers read.
                head = self._context.changes.head
                missed = [self._context.shared(each) for each in changes if each.number <= head]
                del changes
                if self.org is not None:
                    await self._context.orgs.load_homes(missed)
            if not missed:
                raise CannotKnowError("The store's revisions have a gap; an operator must check the store.")
            while position.number < missed[-1].change.number:
                self._require_permitted()
                rest = [each for each in missed if each.change.number > position.number]
                yield position.advance(next_batch(rest, position.cursor, entry_filter))

    async def _homes_of(self, revocations: Sequence[Revocation]) -> dict[str, str]:
        if self.org is None:
            return {}
        return await self._context.orgs.homes_of([each.token_id for each in revocations])

    async def _live(self) -> AsyncIterator[Batch | Heartbeat]:
        position = self._position
        while True:
            self.wake.clear()
            limit, proof = position.limit, self._proof()
            while position.number < limit:
                self._require_logged()
                self._require_permitted()
                yield position.next_batch(limit)
            self._require_logged()
            if asyncio.get_running_loop().time() >= self._heartbeat_due:
                # A watcher that reads slowly may always be behind: then its heartbeat uses the proof that was
                # taken before the changes it has just been sent.
                heartbeat = self._heartbeat(proof if position.is_behind else self._proof())
                self._set_timer()
                if heartbeat is not None:
                    yield heartbeat
            # A change that arrives while a message is being sent is sent in the next round.
            await self.wake.wait()

    def _heartbeat(self, proof: Proof | None) -> Heartbeat | None:
        """Check the watcher's token, and return its heartbeat; None if freshness is not proven."""
        if proof is None or not self._context.view.is_fresh:
            return None
        self._recheck.check_for_heartbeat()
        revision = Revision(self._context.view.revision.epoch, self._position.number)
        return Heartbeat(revision, proof.store_time, proof.read_at - self._arrived)

    def _proof(self) -> Proof | None:
        if self.org is None:
            proof = proof_of(self._context.view, self._context.changes)
        else:
            proof = self._context.orgs.proof
        if proof is None or not self._context.view.is_fresh:
            return None
        return proof if proof.read_at >= self._arrived else None

    def _require_logged(self) -> None:
        self._require_serving()
        self._position.require_logged()

    def _require_permitted(self) -> None:
        self._require_serving()
        self._recheck.check_if_older(self._context.interval)

    def _require_serving(self) -> None:
        if self._context.is_draining:
            raise DrainingError("This server is going; watch again from the last revision that you got.", 0.1)

    def _set_timer(self) -> None:
        # The first interval is random: watchers that arrive together, as after a restart, spread out.
        interval = self._context.interval
        if not self._heartbeat_due:
            interval = random.uniform(0, interval)  # noqa: S311 - not a secret
        loop = asyncio.get_running_loop()
        self._heartbeat_due = loop.time() + interval
        self._timer = loop.call_at(self._heartbeat_due, self.wake.set)
