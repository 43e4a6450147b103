"""What has been revoked, in SQL: one revision a transaction, given out in the order of commits.

Calls that wait together share a transaction, and with it its revision (`batch.py`).
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
_EPOCH_BYTES: Final = 4


class SqlRevocations:
    """Implements `ports.Revocations`."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database
        self.max_entries = MAX_ENTRIES
        self._highest_time = 0
        self._batches: GroupCommit[RevokeCall, RevokeReceipt] = GroupCommit(self._commit)
        # What may be thousands of entries is a transaction of its own, which nobody else's fails with.
        self._wide: GroupCommit[RevokeCall, RevokeReceipt] = GroupCommit(self._commit, max_calls=1)

    async def revoke(
        self,
        revocations: Sequence[Revocation],
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
        cut_offs: Sequence[CutOff] = (),
    ) -> RevokeReceipt:
        """Revoke under one new revision; what it may refuse and return is the port's."""
        self._told(now)
        return await self._batches.submit(
            RevokeCall(RequestedRevocations(revocations, cut_offs), actor, reason, request, now)
        )

    async def answered(self, request: Idempotency, now: int) -> RevokeReceipt | None:
        """Return what was answered to a request."""

        def work(connection: Connection) -> RevokeReceipt | None:
            return answered(connection, request, now, _read(connection, 0).epoch)

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
        """Revoke all that is selected; what it may refuse and return is the port's."""
        self._told(now)
        requested = partial(
            selected, selection=selection, within=within, now=now, max_entries=self.max_entries
        )
        done = await self._wide.submit(RevokeCall(requested, actor, reason, request, now))
        while not done.is_all:
            done = await self._wide.submit(RevokeCall(requested, actor, reason, request, now, done.entries))
        return done

    async def _commit(self, calls: Sequence[RevokeCall]) -> Sequence[RevokeReceipt | Exception]:
        told = self._told(0)

        def work(connection: Connection) -> list[RevokeReceipt | Exception]:
            locks.exclude(connection, locks.REVOCATIONS)
            revision = RevisionWriter(connection, _read(connection, told))
            outcomes = revision.outcomes(calls)
            revision.finish()
            return outcomes

        return await self._database.write("revocations.commit", work)

    async def reading(self, now: int) -> Reading:
        """Read epoch, newest revision and time of the store."""
        told = self._told(now)
        reading, kept = await self._database.read_now(
            "revocations.reading",
            lambda connection: (_read(connection, told), connection.scalar(select(STORE.c.clock)) or 0),
        )
        if reading.store_time - kept >= _CLOCK_STEP_SECONDS:
            # Often enough that the store's time survives a restart, seldom enough to cost nothing.
            # What a full disk refuses to keep is true all the same.
            with contextlib.suppress(StoreUnavailableError):
                await self._database.write(
                    "revocations.reading", lambda connection: _keep_clock(connection, reading.store_time)
                )
        self._told(reading.store_time)
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
            "revocations.page", lambda connection: changes.page(connection, number, after, limit)
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
            before, epoch = _read(connection, 0), secrets.token_hex(_EPOCH_BYTES)
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
        """Forget what nobody needs."""
        told = self._told(0)

        def work(connection: Connection) -> int:
            locks.exclude(connection, locks.REVOCATIONS)
            return changes.prune(connection, _read(connection, told).store_time, limit)

        return await self._database.write("revocations.prune", work)

    def _told(self, now: int) -> int:
        self._highest_time = max(self._highest_time, now)
        return self._highest_time


def _read(connection: Connection, told: int) -> Reading:
    row = connection.execute(
        select(STORE, REVISIONS.c.mark).join(REVISIONS, REVISIONS.c.number == STORE.c.revision)
    ).one_or_none()
    if row is None:  # in the middle of a restore: what comes of it, the next reading tells
        raise StoreUnavailableError("The store has no newest revision; an operator must look at it.")
    time = max(row.clock, store_clock.seconds(connection, told))
    return Reading(row.epoch, row.revision, bytes(row.mark), time)


def _keep_clock(connection: Connection, clock: int) -> None:
    locks.share(connection, locks.REVOCATIONS)  # which writes the clock too, as it read it before
    connection.execute(update(STORE).where(STORE.c.clock < clock).values(clock=clock))
