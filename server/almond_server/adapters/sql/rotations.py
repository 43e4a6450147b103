"""The rotations in SQL: columns of the rotated token's record, which an index of those pending serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, and_, func, select, update

from almond_server.adapters.sql import audit, cut_off_filter, idempotency, locks
from almond_server.adapters.sql.array_params import in_list
from almond_server.adapters.sql.revision_writer import RequestedRevocations, RevisionWriter, RevokeCall
from almond_server.adapters.sql.revocations import read
from almond_server.adapters.sql.tables import TOKENS
from almond_server.adapters.sql.tokens import existing, find, record_minted, refuse_revoked
from almond_server.domain import rotations
from almond_server.domain.revocations import Revocation
from almond_server.domain.rotations import NextDue, Rotation
from almond_server.domain.stores import Actor, AuditRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from almond_server.adapters.sql.database import Database
    from almond_server.adapters.sql.revocations import SqlRevocations
    from almond_server.domain.records import Record
    from almond_server.domain.revocations import Reading
    from almond_server.domain.stores import Idempotency

_PENDING: Final = and_(TOKENS.c.revoke_due.is_not(None), TOKENS.c.revoked_at.is_(None))
_DUE_COLUMNS: Final = (
    TOKENS.c.id,
    TOKENS.c.expires_at,
    TOKENS.c.successor,
    TOKENS.c.rotated_by,
    cut_off_filter.minted_is_cut_off().label("is_cut_off"),
)


class SqlRotations:
    """Implements `rotations.Rotations`."""

    def __init__(self, database: Database, revocations: SqlRevocations) -> None:
        """Store rotations in a database; `revocations` knows the highest time of all calls."""
        self._database = database
        self._revocations = revocations

    async def add(
        self,
        successor: Record,
        rotated_id: str,
        overlap: int,
        actor: Actor,
        request: Idempotency | None,
        now: int,
    ) -> Rotation:
        """Record a successor and when its predecessor is revoked, as the port says."""
        highest_now = self._revocations.highest_now(now)

        def work(connection: Connection) -> Rotation:
            before = _begin(connection, actor, highest_now)
            earlier = idempotency.answered(connection, request, now)
            if earlier is not None:
                return _rotation(connection, earlier, rotated_id)
            rotated = rotations.live(find(connection, rotated_id), now)
            due = before.store_time + overlap
            record_minted(connection, successor, actor, now)
            _set(connection, rotated_id, successor.token_id, actor.name, due)
            detail = rotations.rotated_detail(successor.token_id, due)
            audit.write(connection, AuditRow(now, actor.name, "token.rotated", rotated_id, detail, 0))
            idempotency.remember(connection, [(request, successor.token_id)], now)
            if not overlap:
                reason = rotations.reason(successor.token_id)
                _revoke(connection, before, _revoke_call(rotated_id, rotated.expires_at, actor, reason, now))
            return _rotation(connection, successor.token_id, rotated_id)

        return await self._database.write("rotations.add", work)

    async def answered(self, request: Idempotency, rotated_id: str, now: int) -> Rotation | None:
        """Return what a request got, or None."""

        def work(connection: Connection) -> Rotation | None:
            earlier = idempotency.answered(connection, request, now)
            return None if earlier is None else _rotation(connection, earlier, rotated_id)

        return await self._database.write("rotations.answered", work)

    async def take_back(
        self, rotated_id: str, actor: Actor, request: Idempotency | None, now: int
    ) -> Rotation:
        """Revoke a successor and keep its predecessor, as the port says."""
        highest_now = self._revocations.highest_now(now)

        def work(connection: Connection) -> Rotation:
            before = _begin(connection, actor, highest_now)
            earlier = idempotency.answered(connection, request, now)
            if earlier is not None:
                return _rotation(connection, earlier, rotated_id)
            rotated = rotations.pending(find(connection, rotated_id))
            successor = existing(connection, rotated.successor)
            _set(connection, rotated_id, "", "", None)
            action, target = "token.rotation_taken_back", successor.token_id
            audit.write(connection, AuditRow(now, actor.name, action, rotated_id, target, 0))
            idempotency.remember(connection, [(request, successor.token_id)], now)
            reason = rotations.taken_back_reason(rotated_id)
            _revoke(connection, before, _revoke_call(target, successor.expires_at, actor, reason, now))
            return _rotation(connection, successor.token_id, rotated_id)

        return await self._database.write("rotations.take_back", work)

    async def next_due(self, now: int) -> NextDue:
        """Return the time of the store, and when the first pending rotation is due."""
        highest_now = self._revocations.highest_now(now)

        def work(connection: Connection) -> NextDue:
            due = connection.scalar(select(func.min(TOKENS.c.revoke_due)).where(_PENDING))
            return NextDue(read(connection, highest_now).store_time, due)

        return await self._database.read_now("rotations.next_due", work)

    async def carry_out(self, limit: int, now: int) -> int:
        """Revoke the tokens of rotations that are due, as the port says."""
        highest_now = self._revocations.highest_now(now)

        def work(connection: Connection) -> int:
            locks.exclude(connection, locks.REVOCATIONS)
            before = read(connection, highest_now)
            due = select(*_DUE_COLUMNS).where(_PENDING, TOKENS.c.revoke_due <= before.store_time)
            rows = connection.execute(due.order_by(TOKENS.c.revoke_due, TOKENS.c.id).limit(limit)).all()
            _forget(connection, [row.id for row in rows if row.is_cut_off])
            calls: dict[str, RevokeCall] = {}
            for row in rows:
                if not row.is_cut_off:
                    actor, reason = Actor(row.rotated_by), rotations.reason(row.successor)
                    calls |= _revoke_call(row.id, row.expires_at, actor, reason, now)
            _revoke(connection, before, calls)
            return len(rows)

        return await self._database.write("rotations.carry_out", work)


def _begin(connection: Connection, actor: Actor, highest_now: int) -> Reading:
    # Exclusively, as a revocation: two rotations of one token follow each other.
    locks.exclude(connection, locks.REVOCATIONS)
    refuse_revoked(connection, actor)
    return read(connection, highest_now)


def _rotation(connection: Connection, successor_id: str, rotated_id: str) -> Rotation:
    return Rotation(existing(connection, successor_id), existing(connection, rotated_id))


def _set(connection: Connection, rotated_id: str, successor_id: str, by: str, due: int | None) -> None:
    values = {"successor": successor_id, "rotated_by": by, "revoke_due": due}
    connection.execute(update(TOKENS).where(TOKENS.c.id == rotated_id).values(values))


def _revoke_call(
    token_id: str, ends_at: int | None, actor: Actor, reason: str, now: int
) -> dict[str, RevokeCall]:
    requested = RequestedRevocations([Revocation(token_id, None, ends_at)], [])
    return {token_id: RevokeCall(requested, actor, reason, None, now)}


def _revoke(connection: Connection, before: Reading, calls: Mapping[str, RevokeCall]) -> None:
    """Revoke tokens by their ids under the next revision, as the last write of a transaction."""
    if not calls:
        return
    revision = RevisionWriter(connection, before)
    for token_id, outcome in zip(calls, revision.outcomes(list(calls.values())), strict=True):
        if isinstance(outcome, Exception):
            raise outcome
        if not outcome.entries:
            _forget(connection, [token_id])
    revision.finish()


def _forget(connection: Connection, ids: Iterable[str]) -> None:
    """Clear the due time of tokens that something else revoked."""
    named = in_list(connection, TOKENS.c.id, ids)
    connection.execute(update(TOKENS).where(named).values(revoke_due=None))
