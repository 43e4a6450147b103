"""What has been withdrawn, in memory, for tests."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from almond_server.adapters.memory import MemoryStore, selected
from almond_server.errors import SelectionChangedError
from almond_server.ports import (
    KEPT_SECONDS,
    LINKED_SECONDS,
    AuditRow,
    Change,
    Reading,
    RevisionForgottenError,
    Withdrawal,
    Withdrawn,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.ports import Actor, Idempotency, Selection


class MemoryRevocations:
    """Implements `ports.Revocations`."""

    def __init__(self, store: MemoryStore) -> None:
        """Keep withdrawals in `store`."""
        self._store = store

    async def withdraw(
        self,
        withdrawals: Sequence[Withdrawal],
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
    ) -> Withdrawn:
        """Withdraw under one new revision; raises `RequestReusedError`."""
        await self._store.turn()
        return self._withdraw(withdrawals, actor, reason, request, now)

    async def answered(self, request: Idempotency, now: int) -> Withdrawn | None:
        """Return what was answered to a request."""
        await self._store.turn()
        earlier = self._store.answered(request, now)
        return None if earlier is None else self._withdrawn(earlier)

    async def withdraw_selection(
        self,
        selection: Selection,
        within: frozenset[tuple[str, str]] | None,
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
    ) -> Withdrawn:
        """Withdraw all that is selected; what it may refuse and return is the port's."""
        await self._store.turn()
        earlier = self._store.answered(request, now)
        if earlier is not None:
            return self._withdrawn(earlier)
        found = selected(self._store, selection, now)
        if within is not None and not {(each.org, each.app) for each in found} <= within:
            raise SelectionChangedError("Something was minted meanwhile.", 0.1)
        withdrawals = [Withdrawal(each.token_id, None, each.expires_at) for each in found]
        return self._withdraw(withdrawals, actor, reason, request, now)

    def _withdraw(
        self,
        withdrawals: Sequence[Withdrawal],
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
    ) -> Withdrawn:
        earlier = self._store.answered(request, now)
        if earlier is not None:
            return self._withdrawn(earlier)
        self._store.reading(now)
        added = [each for each in withdrawals if self._enter(each)]
        if added:
            self._store.append(sorted(added, key=_order))
        for each in added:
            self._fill_in(each, actor, reason, now)
        answer = (len(added), self._store.number)
        self._store.remember(request, answer, now)
        return self._withdrawn(answer)

    def _withdrawn(self, answer: tuple[int, int]) -> Withdrawn:
        entries, number = answer
        return Withdrawn(entries, self._store.epoch, number)

    async def reading(self, now: int) -> Reading:
        """Read epoch, newest revision and time."""
        await self._store.turn()
        return self._store.reading(now)

    async def changes_after(self, number: int, limit: int) -> Sequence[Change]:
        """Return up to `limit` changes after revision `number`; raises `RevisionForgottenError`."""
        await self._store.turn()
        if number not in self._store.marks:
            raise RevisionForgottenError(number)
        return [each for each in self._store.changes if each.number > number][:limit]

    async def mark_of(self, number: int) -> bytes | None:
        """Return the mark of a revision."""
        await self._store.turn()
        return self._store.marks.get(number)

    async def withdrawals(self, number: int, after: Withdrawal | None, limit: int) -> Sequence[Withdrawal]:
        """Return a page of all entries up to a revision."""
        await self._store.turn()
        entries = self._entries(number)
        return [each for each in entries if after is None or _order(each) > _order(after)][:limit]

    async def begin_epoch(self, actor: Actor, now: int) -> Reading:
        """Begin a new epoch."""
        await self._store.turn()
        before, self._store.epoch = self._store.epoch, secrets.token_hex(4)
        detail, number = f"after {before}", self._store.number
        row = AuditRow(now, actor.name, "store.epoch_begun", self._store.epoch, detail, number)
        self._store.audit.append(row)
        self._store.time = now
        return self._store.reading(now)

    async def prune(self, limit: int) -> int:
        """Forget what nobody needs."""
        await self._store.turn()
        store, time = self._store, self._store.time
        ended = [each for each in self._entries(store.number) if (each.ends_at or time) < time - KEPT_SECONDS]
        gone = set(sorted(ended, key=lambda each: each.ends_at or 0)[:limit])
        store.changes = [
            replace(each, withdrawals=tuple(it for it in each.withdrawals if it not in gone))
            for each in store.changes
        ]
        store.entries -= {(each.token_id, each.branch_id) for each in gone}
        old = [number for number, at in sorted(store.given_out.items()) if at < time - LINKED_SECONDS]
        forgotten = [number for number in old if number < store.number][:limit]
        for number in forgotten:
            del store.marks[number], store.given_out[number]
        return len(gone) + len(forgotten)

    def _entries(self, number: int) -> list[Withdrawal]:
        changes = [each for each in self._store.changes if each.number <= number]
        return sorted((each for change in changes for each in change.withdrawals), key=_order)

    def _enter(self, withdrawal: Withdrawal) -> bool:
        entry = (withdrawal.token_id, withdrawal.branch_id)
        standing = {entry, (withdrawal.token_id, None)} & self._store.entries
        self._store.entries.add(entry)
        return not standing

    def _fill_in(self, withdrawal: Withdrawal, actor: Actor, reason: str, now: int) -> None:
        target, branch_id = withdrawal.token_id, withdrawal.branch_id
        for record in list(self._store.records.values()):
            is_of_it = branch_id is None or branch_id in record.lineage
            if record.token_id == target and is_of_it and record.revoked_at is None:
                self._store.records[record.id] = replace(
                    record, revoked_at=now, revoked_by=actor.name, revoke_reason=reason
                )
        if branch_id is not None:
            target = f"{target}/{branch_id.hex()}"
        number = self._store.number
        self._store.audit.append(AuditRow(now, actor.name, "token.revoked", target, reason, number))


def _order(withdrawal: Withdrawal) -> tuple[str, bytes]:
    return withdrawal.token_id, withdrawal.branch_id or b""
