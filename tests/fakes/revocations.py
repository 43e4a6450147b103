"""The revocations in memory, for tests."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from almond_server.domain import cut_off_rules, cut_off_text
from almond_server.domain.revocations import (
    KEPT_SECONDS,
    LINKED_SECONDS,
    MAX_ENTRIES,
    Change,
    CutOff,
    Reading,
    RecordedCutOff,
    Revocation,
    RevokeReceipt,
    Scope,
    highest,
)
from almond_server.domain.stores import AuditRow, RevisionForgottenError
from almond_server.errors import SelectionChangedError
from fakes.store import MemoryStore, selected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.domain.records import Record
    from almond_server.domain.selections import Selection
    from almond_server.domain.stores import Actor, Idempotency


class MemoryRevocations:
    """Implements `stores.Revocations`."""

    def __init__(self, store: MemoryStore) -> None:
        """Store revocations in `store`."""
        self._store = store
        self.max_entries = MAX_ENTRIES

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
        await self._store.begin()
        return self._revoke(revocations, cut_offs, actor, reason, request, now)

    async def answered(self, request: Idempotency, now: int) -> RevokeReceipt | None:
        """Return the answer that a request got, or None."""
        await self._store.begin()
        earlier = self._store.answered(request, now)
        return None if earlier is None else self._receipt(earlier)

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
        entries, is_all = 0, False
        while not is_all:
            await self._store.begin()
            earlier = self._store.answered(request, now)
            if earlier is not None:
                return self._receipt(earlier)
            found = selected(self._store, selection, now)
            if within is not None and not {(each.org, each.app) for each in found} <= within:
                raise SelectionChangedError
            cut_off = self._cut_off(selection, now)
            others = [
                Revocation(each.token_id, None, each.expires_at)
                for each in found
                if cut_off is None or not _falls_under(each, cut_off)
            ]
            cut_offs, is_all = [] if cut_off is None else [cut_off], len(others) <= self.max_entries
            entries += self._add_all(others[: self.max_entries], cut_offs, actor, reason, now)
        return self._answer(entries, request, now)

    def _cut_off(self, selection: Selection, now: int) -> CutOff | None:
        if selection.cut_off is None:
            return None
        scope, name = selection.cut_off
        orgs = cut_off_rules.home_orgs_counted(name)
        issued = (
            each.created_at_ms
            for each in self._store.records.values()
            if (each.org in orgs if scope is Scope.ORG else each.subject == name)
        )
        return cut_off_rules.cut_off_of(selection, now, max(issued, default=0))

    def _revoke(
        self,
        revocations: Sequence[Revocation],
        cut_offs: Sequence[CutOff],
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
    ) -> RevokeReceipt:
        earlier = self._store.answered(request, now)
        if earlier is not None:
            return self._receipt(earlier)
        return self._answer(self._add_all(revocations, cut_offs, actor, reason, now), request, now)

    def _answer(self, entries: int, request: Idempotency | None, now: int) -> RevokeReceipt:
        answer = (entries, self._store.number)
        self._store.remember(request, answer, now)
        return self._receipt(answer)

    def _add_all(
        self,
        revocations: Sequence[Revocation],
        cut_offs: Sequence[CutOff],
        actor: Actor,
        reason: str,
        now: int,
    ) -> int:
        """Add entries and cut-offs under the next revision, if any is new; return how many were."""
        self._store.reading(now)
        added = [each for each in revocations if self._add(each)]
        standing = highest(each.cut_off for each in self._store.cut_offs)
        raised = [each for target, each in highest(cut_offs).items() if each.is_above(standing.get(target))]
        if added or raised:
            self._store.append(sorted(added, key=_entry_key), raised)
        for each in added:
            self._mark_revoked(each, actor, reason, now)
        for cut_off in raised:
            number, detail = self._store.number, cut_off_text.detail(cut_off, reason)
            self._store.cut_offs.append(RecordedCutOff(cut_off, number, now, actor.name, reason))
            action = cut_off_text.action(cut_off)
            self._store.audit.append(AuditRow(now, actor.name, action, cut_off.name, detail, number))
        return len(added) + len(raised)

    def revoke_each(self, revoked: Sequence[tuple[Revocation, Actor, str]], now: int) -> None:
        """Revoke tokens within a transaction, each by an actor and for a reason, under one revision."""
        self._store.reading(now)
        added = [each for each in revoked if self._add(each[0])]
        if added:
            self._store.append(sorted((entry for entry, _, _ in added), key=_entry_key), [])
        for entry, actor, reason in added:
            self._mark_revoked(entry, actor, reason, now)

    def _receipt(self, answer: tuple[int, int]) -> RevokeReceipt:
        entries, number = answer
        return RevokeReceipt(entries, self._store.epoch, number)

    async def reading(self, now: int) -> Reading:
        """Read epoch, newest revision and time."""
        await self._store.begin()
        return self._store.reading(now)

    async def changes_after(self, number: int, limit: int) -> Sequence[Change]:
        """Return up to `limit` changes after revision `number`; raises `RevisionForgottenError`."""
        await self._store.begin()
        if number not in self._store.marks:
            raise RevisionForgottenError(number)
        return [each for each in self._store.changes if each.number > number][:limit]

    async def mark_of(self, number: int) -> bytes | None:
        """Return the mark of a revision."""
        await self._store.begin()
        return self._store.marks.get(number)

    async def page(self, number: int, after: Revocation | None, limit: int) -> Sequence[Revocation]:
        """Return a page of all entries up to a revision."""
        await self._store.begin()
        entries = self._entries(number)
        return [each for each in entries if after is None or _entry_key(each) > _entry_key(after)][:limit]

    async def cut_offs(self, number: int) -> Sequence[CutOff]:
        """Return the highest cut-offs up to a revision."""
        await self._store.begin()
        found = highest(each.cut_off for each in self._store.cut_offs if each.revision <= number)
        return [found[target] for target in sorted(found)]

    async def begin_epoch(self, actor: Actor, now: int) -> Reading:
        """Begin a new epoch."""
        await self._store.begin()
        before, self._store.epoch = self._store.epoch, secrets.token_hex(4)
        detail, number = f"after {before}", self._store.number
        row = AuditRow(now, actor.name, "store.epoch_begun", self._store.epoch, detail, number)
        self._store.audit.append(row)
        self._store.time = now
        return self._store.reading(now)

    async def prune(self, limit: int) -> int:
        """Delete what is no longer needed, as the port says."""
        await self._store.begin()
        store, time = self._store, self._store.time
        ended = [each for each in self._entries(store.number) if (each.ends_at or time) < time - KEPT_SECONDS]
        deleted = set(sorted(ended, key=lambda each: each.ends_at or 0)[:limit])
        store.changes = [
            replace(each, revocations=tuple(it for it in each.revocations if it not in deleted))
            for each in store.changes
        ]
        store.entries -= {(each.token_id, each.branch_id) for each in deleted}
        old = [number for number, at in sorted(store.used_at.items()) if at < time - LINKED_SECONDS]
        pruned = [number for number in old if number < store.number][:limit]
        for number in pruned:
            del store.marks[number], store.used_at[number]
        return len(deleted) + len(pruned) + self._prune_cut_offs(limit)

    def _prune_cut_offs(self, limit: int) -> int:
        oldest, made = min(self._store.marks), self._store.cut_offs
        old = highest(each.cut_off for each in made if each.revision < oldest)
        replaced = [
            each for each in made if (it := old.get(each.cut_off.target)) and it.is_above(each.cut_off)
        ][:limit]
        self._store.cut_offs = [each for each in made if each not in replaced]
        return len(replaced)

    def _entries(self, number: int) -> list[Revocation]:
        changes = [each for each in self._store.changes if each.number <= number]
        return sorted((each for change in changes for each in change.revocations), key=_entry_key)

    def _add(self, revocation: Revocation) -> bool:
        entry = (revocation.token_id, revocation.branch_id)
        standing = {entry, (revocation.token_id, None)} & self._store.entries
        self._store.entries.add(entry)
        return not standing

    def _mark_revoked(self, revocation: Revocation, actor: Actor, reason: str, now: int) -> None:
        target, branch_id = revocation.token_id, revocation.branch_id
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


def _falls_under(record: Record, cut_off: CutOff) -> bool:
    return cut_off_rules.falls_under(cut_off, cut_off_rules.targets_of_record(record), record.created_at_ms)


def _entry_key(revocation: Revocation) -> tuple[str, bytes]:
    return revocation.token_id, revocation.branch_id or b""
