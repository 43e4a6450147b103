"""The revocations, in SQL: each transaction has one revision, numbered in the order of commits.

Calls that arrive together share a transaction, and with it its revision (`group_commit.py`).
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, select, update

from almond_server.adapters.sql import audit, changes, cut_offs, locks, store_clock
from almond_server.adapters.sql.group_commit import GroupCommit
from almond_server.adapters.sql.revision_writer import (
    RequestedRevocations,
    RevisionWriter,
    RevokeCall,
    answered,
    selected,
)
from almond_server.adapters.sql.tables import REVISIONS, STORE
from almond_server.domain.revocations import MAX_ENTRIES, Reading, RevokeReceipt
from almond_server.domain.stores import AuditRow
from almond_server.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.adapters.sql.database import Database
    from almond_server.domain.revocations import Change, CutOff, Revocation
    from almond_server.domain.selections import Selection
    from almond_server.domain.stores import Actor, Idempotency

_CLOCK_STEP_SECONDS: Final = 60
"""How far the store's time advances before it is written again: it must survive a restart at little cost."""

_EPOCH_BYTES: Final = 4


class SqlRevocations:
    """Implements `stores.Revocations`."""

    def __init__(self, database: Database) -> None:
        """Store revocations in a database."""
        self._database = database
        self.max_entries = MAX_ENTRIES
        self._highest_time = 0
        self._batches: GroupCommit[RevokeCall, RevokeReceipt] = GroupCommit(self._commit)
        # A bulk revocation may have thousands of entries: no other call should fail with its transaction.
        self._bulk: GroupCommit[RevokeCall, RevokeReceipt] = GroupCommit(self._commit, max_calls=1)

    async def revoke(
        self,
        revocations: Sequence[Revocation],
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
        cut_offs: Sequence[CutOff] = (),
    ) -> RevokeReceipt:
        """Revoke under one new revision, as the port says."""
        self.highest_now(now)
        return await self._batches.submit(
            RevokeCall(RequestedRevocations(revocations, cut_offs), actor, reason, request, now)
        )

    async def answered(self, request: Idempotency, now: int) -> RevokeReceipt | None:
        """Return the answer that a request got, or None."""

        def work(connection: Connection) -> RevokeReceipt | None:
            return answered(connection, request, now, read(connection, 0).epoch)

        return await self._database.write("revocations.answered", work)

    async def revoke_selection(
        self,
        selection: Selection,
        within: frozenset[tuple[str, str]] | None,
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
    ) -> RevokeReceipt:
        """Revoke every selected token, as the port says."""
        self.highest_now(now)
        requested = partial(
            selected, selection=selection, within=within, now=now, max_entries=self.max_entries
        )
        receipt = await self._bulk.submit(RevokeCall(requested, actor, reason, request, now))
        while not receipt.is_all:
            more = RevokeCall(requested, actor, reason, request, now, receipt.entries)
            receipt = await self._bulk.submit(more)
        return receipt

    async def _commit(self, calls: Sequence[RevokeCall]) -> Sequence[RevokeReceipt | Exception]:
        highest_now = self.highest_now(0)

        def work(connection: Connection) -> list[RevokeReceipt | Exception]:
            locks.exclude(connection, locks.REVOCATIONS)
            revision = RevisionWriter(connection, read(connection, highest_now))
            outcomes = revision.outcomes(calls)
            revision.finish()
            return outcomes

        return await self._database.write("revocations.commit", work)

    async def reading(self, now: int) -> Reading:
        """Read epoch, newest revision and time of the store."""
        highest_now = self.highest_now(now)

        def work(connection: Connection) -> tuple[Reading, int]:
            return read(connection, highest_now), connection.scalar(select(STORE.c.clock)) or 0

        reading, written = await self._database.read_now("revocations.reading", work)
        if reading.store_time - written >= _CLOCK_STEP_SECONDS:
            # If a full disk refuses the write, the reading is true all the same.
            with contextlib.suppress(StoreUnavailableError):
                await self._database.write(
                    "revocations.reading", lambda connection: _write_clock(connection, reading.store_time)
                )
        self.highest_now(reading.store_time)
        return reading

    async def changes_after(self, number: int, limit: int) -> Sequence[Change]:
        """Return the changes after a revision, in order; raises `RevisionForgottenError`."""
        return await self._database.read_now(
            "revocations.changes_after", lambda connection: changes.after(connection, number, limit)
        )

    async def mark_of(self, number: int) -> bytes | None:
        """Return the mark of a revision."""
        return await self._database.read_now(
            "revocations.mark_of", lambda connection: changes.mark_of(connection, number)
        )

    async def page(self, number: int, after: Revocation | None, limit: int) -> Sequence[Revocation]:
        """Return a page of all entries up to a revision."""
        return await self._database.read(
            "revocations.withdrawals", lambda connection: changes.page(connection, number, after, limit)
        )

    async def cut_offs(self, number: int) -> Sequence[CutOff]:
        """Return the highest cut-offs up to a revision."""
        return await self._database.read(
            "revocations.cut_offs", lambda connection: cut_offs.highest(connection, number)
        )

    async def begin_epoch(self, actor: Actor, now: int) -> Reading:
        """Begin a new epoch."""

        def work(connection: Connection) -> Reading:
            locks.exclude(connection, locks.REVOCATIONS)
            before, epoch = read(connection, 0), secrets.token_hex(_EPOCH_BYTES)
            clock = store_clock.seconds(connection, now)
            connection.execute(update(STORE).values(epoch=epoch, clock=clock))
            row = AuditRow(
                now, actor.name, "store.epoch_begun", epoch, f"after {before.epoch}", before.number
            )
            audit.write(connection, row)
            return replace(before, epoch=epoch, store_time=clock)

        begun = await self._database.write("revocations.begin_epoch", work)
        self._highest_time = begun.store_time
        return begun

    async def prune(self, limit: int) -> int:
        """Delete what is no longer needed, as the port says."""
        highest_now = self.highest_now(0)

        def work(connection: Connection) -> int:
            locks.exclude(connection, locks.REVOCATIONS)
            return changes.prune(connection, read(connection, highest_now).store_time, limit)

        return await self._database.write("revocations.prune", work)

    def highest_now(self, now: int) -> int:
        """Return the highest `now` so far, in unix seconds."""
        self._highest_time = max(self._highest_time, now)
        return self._highest_time


def read(connection: Connection, highest_now: int) -> Reading:
    """Read epoch, newest revision and time of the store; `highest_now` is the highest `now` of all calls."""
    row = connection.execute(
        select(STORE, REVISIONS.c.mark).join(REVISIONS, REVISIONS.c.number == STORE.c.revision)
    ).one_or_none()
    if row is None:
        # The store is being restored: the next reading shows the result.
        raise StoreUnavailableError("The store has no newest revision; an operator must check it.")
    time = max(row.clock, store_clock.seconds(connection, highest_now))
    return Reading(row.epoch, row.revision, bytes(row.mark), time)


def _write_clock(connection: Connection, clock: int) -> None:
    # A revocation writes the clock that it read before: this write must not come in between.
    locks.share(connection, locks.REVOCATIONS)
    connection.execute(update(STORE).where(STORE.c.clock < clock).values(clock=clock))
