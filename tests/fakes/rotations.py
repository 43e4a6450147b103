"""The rotations in memory, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from almond_server.domain import rotations
from almond_server.domain.revocations import Revocation
from almond_server.domain.rotations import NextDue, Rotation
from almond_server.domain.stores import Actor, AuditRow
from fakes.revocations import MemoryRevocations
from fakes.store import MemoryStore, MemoryTokens

if TYPE_CHECKING:
    from almond_server.domain.records import Record
    from almond_server.domain.stores import Idempotency


class MemoryRotations:
    """Implements `rotations.Rotations`."""

    def __init__(self, store: MemoryStore) -> None:
        """Store rotations in `store`."""
        self._store = store
        self._tokens = MemoryTokens(store)
        self._revocations = MemoryRevocations(store)

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
        await self._store.begin()
        self._tokens.refuse_revoked(actor)
        earlier = self._store.answered(request, now)
        if earlier is not None:
            return self._rotation(earlier, rotated_id)
        rotated = rotations.live(self._find(rotated_id), now)
        due = self._store.reading(now).store_time + overlap
        self._tokens.record_minted(successor, actor, now)
        self._set(rotated_id, successor.token_id, actor.name, due)
        detail = rotations.rotated_detail(successor.token_id, due)
        self._store.audit.append(AuditRow(now, actor.name, "token.rotated", rotated_id, detail, 0))
        self._store.remember(request, successor.token_id, now)
        if not overlap:
            self._revoke([(rotated, actor, rotations.reason(successor.token_id))], now)
        return self._rotation(successor.token_id, rotated_id)

    async def answered(self, request: Idempotency, rotated_id: str, now: int) -> Rotation | None:
        """Return what a request got, or None."""
        await self._store.begin()
        earlier = self._store.answered(request, now)
        return None if earlier is None else self._rotation(earlier, rotated_id)

    async def take_back(
        self, rotated_id: str, actor: Actor, request: Idempotency | None, now: int
    ) -> Rotation:
        """Revoke a successor and keep its predecessor, as the port says."""
        await self._store.begin()
        self._tokens.refuse_revoked(actor)
        earlier = self._store.answered(request, now)
        if earlier is not None:
            return self._rotation(earlier, rotated_id)
        rotated = rotations.pending(self._find(rotated_id))
        successor = self._store.records[rotated.successor]
        self._set(rotated_id, "", "", None)
        row = AuditRow(now, actor.name, "token.rotation_taken_back", rotated_id, successor.token_id, 0)
        self._store.audit.append(row)
        self._store.remember(request, successor.token_id, now)
        self._revoke([(successor, actor, rotations.taken_back_reason(rotated_id))], now)
        return self._rotation(successor.token_id, rotated_id)

    async def next_due(self, now: int) -> NextDue:
        """Return the time of the store, and when the first pending rotation is due."""
        await self._store.begin()
        due = min((each.revoke_due or 0 for each in self._pending()), default=None)
        return NextDue(self._store.reading(now).store_time, due)

    async def carry_out(self, limit: int, now: int) -> int:
        """Revoke the tokens of rotations that are due, as the port says."""
        await self._store.begin()
        time = self._store.reading(now).store_time
        due = [each for each in self._pending() if (each.revoke_due or 0) <= time]
        due = sorted(due, key=lambda each: (each.revoke_due or 0, each.id))[:limit]
        for each in due:
            if self._store.as_read(each).revoked_at is not None:
                self._store.records[each.id] = replace(each, revoke_due=None)
        self._revoke(
            [
                (each, Actor(self._store.rotated_by[each.id]), rotations.reason(each.successor))
                for each in due
                if self._store.as_read(each).revoked_at is None
            ],
            now,
        )
        return len(due)

    def _pending(self) -> list[Record]:
        kept = self._store.records.values()
        return [each for each in kept if each.revoke_due is not None and each.revoked_at is None]

    def _find(self, record_id: str) -> Record | None:
        record = self._store.records.get(record_id)
        return None if record is None else self._store.as_read(record)

    def _rotation(self, successor_id: str, rotated_id: str) -> Rotation:
        read = self._store.as_read
        return Rotation(read(self._store.records[successor_id]), read(self._store.records[rotated_id]))

    def _set(self, rotated_id: str, successor_id: str, by: str, due: int | None) -> None:
        record = self._store.records[rotated_id]
        self._store.records[rotated_id] = replace(record, successor=successor_id, revoke_due=due)
        self._store.rotated_by[rotated_id] = by

    def _revoke(self, revoked: list[tuple[Record, Actor, str]], now: int) -> None:
        """Revoke tokens, each by an actor and for a reason, under one revision."""
        self._revocations.revoke_each(
            [
                (Revocation(record.token_id, None, record.expires_at), actor, reason)
                for record, actor, reason in revoked
            ],
            now,
        )
