"""The store in memory, for tests: its ports have the same obligations, but nothing outlives the process.

Every method lets other tasks run once, and then does its work without awaiting: that is one transaction.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from almond_core.model import RESERVED_ORG
from almond_server.domain import audit_targets, cut_off_rules
from almond_server.domain.records import MAX_DERIVED, record_id
from almond_server.domain.revocations import Change, CutOff, Reading, RecordedCutOff, Revocation
from almond_server.domain.selections import MintedBy, OfApp, OfOrg, OfSubject
from almond_server.domain.stores import AuditEntry, AuditRow, ExpiryRule
from almond_server.errors import (
    MinterRevokedError,
    RecordNotFoundError,
    RequestReusedError,
    StoreUnavailableError,
    TooManyDerivedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from almond_server.domain.records import Record, Use
    from almond_server.domain.selections import Listing, Selection
    from almond_server.domain.stores import Actor, Idempotency, Position, SealedKey

_REQUESTS_KEPT_SECONDS: Final = 24 * 3600


@dataclass(slots=True)
class MemoryStore:
    """The data that the ports share. Unless it is `available`, every call raises `StoreUnavailableError`."""

    available: bool = True
    epoch: str = field(default_factory=lambda: secrets.token_hex(4))
    time: int = 0
    records: dict[str, Record] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    marks: dict[int, bytes] = field(default_factory=lambda: {0: secrets.token_bytes(8)})
    used_at: dict[int, int] = field(default_factory=lambda: {0: 0})
    entries: set[tuple[str, bytes | None]] = field(default_factory=set)
    cut_offs: list[RecordedCutOff] = field(default_factory=list)
    requests: dict[bytes, tuple[bytes, int, Any]] = field(default_factory=dict)
    keys: list[SealedKey] = field(default_factory=list)
    policies: dict[tuple[str, str], ExpiryRule] = field(default_factory=dict)
    audit: list[AuditRow] = field(default_factory=list)
    rotated_by: dict[str, str] = field(default_factory=dict)

    async def begin(self) -> None:
        """Let other tasks run, then begin a transaction; raise `StoreUnavailableError` unless `available`."""
        await asyncio.sleep(0)
        if not self.available:
            raise StoreUnavailableError("The store does not answer; nothing was changed.")

    def answered(self, request: Idempotency | None, now: int) -> Any:
        """Return the answer that `request` got within 24 h before `now`, or None."""
        self.requests = {
            key: each for key, each in self.requests.items() if each[1] > now - _REQUESTS_KEPT_SECONDS
        }
        if request is None or request.key not in self.requests:
            return None
        fingerprint, _, answer = self.requests[request.key]
        if fingerprint != request.fingerprint:
            raise RequestReusedError("This request_id was used for another content within the last 24 hours.")
        return answer

    def remember(self, request: Idempotency | None, answer: Any, now: int) -> None:
        """Remember the answer to a request."""
        if request is not None:
            self.requests[request.key] = (request.fingerprint, now, answer)

    def reading(self, now: int) -> Reading:
        """Read the store at `now`."""
        self.time = max(self.time, now)
        return Reading(self.epoch, self.number, self.marks[self.number], self.time)

    @property
    def number(self) -> int:
        """The newest revision."""
        return max(self.marks)

    def append(self, revocations: Sequence[Revocation], cut_offs: Sequence[CutOff]) -> None:
        """Add a change under the next revision."""
        number, mark, before = self.number + 1, secrets.token_bytes(8), self.marks[self.number]
        self.changes.append(Change(number, mark, before, tuple(revocations), tuple(cut_offs)))
        self.marks[number] = mark
        self.used_at[number] = self.time

    def as_read(self, record: Record) -> Record:
        """Return a record with `revoked_*` of what revoked it first."""
        minted = self.records.get(record.token_id, record)
        return cut_off_rules.as_read(record, minted, cut_off_rules.by_target(self.cut_offs))


class MemoryTokens:
    """Implements `stores.Tokens`."""

    def __init__(self, store: MemoryStore) -> None:
        """Store records in `store`."""
        self._store = store

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        """Record a minted token, as the port says."""
        await self._store.begin()
        self.refuse_revoked(actor)
        earlier = self._store.answered(request, now)
        if earlier is not None:
            return self._store.as_read(self._store.records[earlier])
        self.record_minted(record, actor, now)
        self._store.remember(request, record.token_id, now)
        return record

    def record_minted(self, record: Record, actor: Actor, now: int) -> None:
        """Record a minted token within a transaction."""
        cut_off_rules.check_issue_time(record, actor, (each.cut_off for each in self._store.cut_offs))
        self._store.records[record.token_id] = record
        self._store.audit.append(AuditRow(now, actor.name, "token.minted", record.token_id, record.kind, 0))

    async def answered(self, request: Idempotency, now: int) -> Record | None:
        """Return the record that `add` returned for a request, or None."""
        await self._store.begin()
        earlier = self._store.answered(request, now)
        return None if earlier is None else self._store.as_read(self._store.records[earlier])

    async def add_derived(self, record: Record, actor: Actor, now: int) -> Record:
        """Record a derived token, as the port says."""
        await self._store.begin()
        self.refuse_revoked(actor)
        self._refuse_lineage(record.token_id, record.lineage)
        minted = self._store.records.get(record.token_id)
        if minted is not None and self._store.as_read(minted).revoked_at is not None:
            raise MinterRevokedError("The token that this was to be made from has been revoked.")
        recorded = [each.id for each in self._store.records.values() if each.token_id == record.token_id]
        if record.id in recorded:
            return self._store.as_read(self._store.records[record.id])
        if record.token_id not in recorded:
            raise RecordNotFoundError("The token that it derives from was not minted here.")
        if len(recorded) > MAX_DERIVED:
            raise TooManyDerivedError("There is no room for more.")
        lineage = [record_id(record.token_id, each) for each in record.lineage[:-1]]
        parent = next((each for each in reversed(lineage) if each in recorded), record.token_id)
        self._store.records[record.id] = replace(record, parent=parent)
        row = AuditRow(now, actor.name, "token.registered", record.id, record.name, 0)
        self._store.audit.append(row)
        return self._store.records[record.id]

    async def get(self, record_id: str) -> Record | None:
        """Return the record with that id, or None."""
        await self._store.begin()
        record = self._store.records.get(record_id)
        return None if record is None else self._store.as_read(record)

    async def select(self, selection: Selection, now: int, limit: int | None = None) -> Sequence[Record]:
        """Return the live records of a selection, newest first."""
        await self._store.begin()
        return selected(self._store, selection, now)[:limit]

    async def orgs_and_apps(self, selection: Selection, now: int) -> frozenset[tuple[str, str]]:
        """Return the (org, app) of the live records of a selection."""
        await self._store.begin()
        return frozenset((each.org, each.app) for each in selected(self._store, selection, now))

    async def record_last_used(self, uses: Sequence[Use]) -> None:
        """Record when tokens were last used."""
        await self._store.begin()
        for use in uses:
            for branch_id in (None, *use.branch_ids):
                record = self._store.records.get(record_id(use.token_id, branch_id))
                if record is not None and (record.last_used_at or 0) < use.at:
                    self._store.records[record.id] = replace(record, last_used_at=use.at)

    async def page(
        self, listing: Listing, after: Position | None, limit: int, to: Position | None = None
    ) -> Sequence[Record]:
        """Return up to `limit` records after `after`, newest first."""
        await self._store.begin()
        records = map(self._store.as_read, self._store.records.values())
        found = [each for each in records if _is_listed(each, listing)]
        found.sort(key=_listing_key, reverse=True)
        return [each for each in _after(found, after) if to is None or each.position >= to][:limit]

    async def nth(self, listing: Listing, after: Position | None, n: int) -> Position | None:
        """Return the position of the n-th record after `after`."""
        await self._store.begin()
        found = [each for each in self._store.records.values() if _is_in_org_and_app(each, listing)]
        found.sort(key=_listing_key, reverse=True)
        return next((each.position for each in _after(found, after)[n - 1 :]), None)

    async def home_orgs(self, token_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the home orgs of tokens."""
        await self._store.begin()
        records = self._store.records
        return {each: records[each].org for each in token_ids if each in records}

    def refuse_revoked(self, actor: Actor) -> None:
        """Raise `MinterRevokedError` if an actor is revoked."""
        self._refuse_lineage(actor.token_id, actor.branch_ids)
        if cut_off_rules.is_stopped(actor, (each.cut_off for each in self._store.cut_offs)):
            raise MinterRevokedError("The token that this was to be made from has been revoked.")

    def _refuse_lineage(self, token_id: str, branch_ids: tuple[bytes, ...]) -> None:
        lineage = {(token_id, branch_id) for branch_id in (None, *branch_ids)}
        if token_id and lineage & self._store.entries:
            raise MinterRevokedError("The token that this was to be made from has been revoked.")


class MemoryKeys:
    """Implements `stores.Keys`."""

    def __init__(self, store: MemoryStore) -> None:
        """Store keys in `store`."""
        self._store = store

    async def add(self, key: SealedKey, actor: Actor, now: int) -> None:
        """Add a key to the ring."""
        await self._store.begin()
        self._store.keys.append(key)
        self._store.audit.append(AuditRow(now, actor.name, "key.added", key.key_id, "", 0))

    async def all(self) -> Sequence[SealedKey]:
        """Return all keys, oldest first."""
        await self._store.begin()
        return list(self._store.keys)


class MemoryPolicies:
    """Implements `stores.Policies`."""

    def __init__(self, store: MemoryStore) -> None:
        """Store rules in `store`."""
        self._store = store

    async def put(self, rule: ExpiryRule, actor: Actor, now: int) -> None:
        """Set the rule for its org and kind."""
        await self._store.begin()
        self._store.policies[rule.org, rule.kind] = rule
        detail = f"default {rule.default_ttl}, maximum {rule.max_ttl}"
        row = AuditRow(now, actor.name, "policy.set", f"{rule.org}/{rule.kind}", detail, 0)
        self._store.audit.append(row)

    async def delete(self, org: str, kind: str, actor: Actor, now: int) -> bool:
        """Delete a rule; return whether there was one."""
        await self._store.begin()
        was_set = self._store.policies.pop((org, kind), None) is not None
        if was_set:
            self._store.audit.append(AuditRow(now, actor.name, "policy.deleted", f"{org}/{kind}", "", 0))
        return was_set

    async def rules(self, orgs: Sequence[str]) -> Sequence[ExpiryRule]:
        """Return the rules of these orgs, or all."""
        await self._store.begin()
        return [rule for (org, _), rule in sorted(self._store.policies.items()) if not orgs or org in orgs]


class MemoryAudit:
    """Implements `stores.Audit`."""

    def __init__(self, store: MemoryStore) -> None:
        """Read from `store`."""
        self._store = store

    async def newest(self, limit: int) -> Sequence[AuditRow]:
        """Return the newest rows."""
        await self._store.begin()
        return self._store.audit[::-1][:limit]

    async def page(self, after: int, limit: int) -> Sequence[AuditEntry]:
        """Return a page of entries, oldest first."""
        await self._store.begin()
        named = {each.id: (each.org, each.app, each.name) for each in self._store.records.values()}
        numbered = list(enumerate(self._store.audit, start=1))[after : after + limit]
        return [audit_targets.entry(seq, row, named) for seq, row in numbered]


def _is_in_org_and_app(record: Record, listing: Listing) -> bool:
    # Tokens of several orgs have no home org; they are listed with those of the reserved org.
    orgs = {listing.org, ""} if listing.org == RESERVED_ORG else {listing.org}
    return record.org in orgs and listing.app in {None, record.app}


def _is_listed(record: Record, listing: Listing) -> bool:
    if not _is_in_org_and_app(record, listing) or not listing.filter.matches(record):
        return False
    return listing.show_all or _is_live(record, listing.now)


def _after(records: list[Record], after: Position | None) -> list[Record]:
    return [each for each in records if after is None or each.position < after]


def _listing_key(record: Record) -> tuple[int, str]:
    return record.position


def selected(store: MemoryStore, selection: Selection, now: int) -> list[Record]:
    """Return the live records of a selection."""
    minted = [store.as_read(each) for each in store.records.values() if not each.lineage]
    before = selection.issued_before_ms
    found = {
        each.token_id
        for each in minted
        if _belongs(each, selection) and (before is None or each.created_at_ms < before)
    }
    while selection.is_recursive:
        more = {each.token_id for each in minted if each.minter_token_id in found} - found
        if not more:
            break
        found |= more
    live = [each for each in minted if each.token_id in found and _is_live(each, now)]
    return sorted(live, key=_listing_key, reverse=True)


def _belongs(record: Record, selection: Selection) -> bool:
    match selection.of:
        case MintedBy(token_id, branch_id):
            by_branch = branch_id is None or branch_id in record.minter_branch_ids
            return record.minter_token_id == token_id and by_branch
        case OfSubject(subject):
            return record.subject == subject
        case OfApp(org, app):
            return (record.org, record.app) == (org, app)
        case OfOrg(org):
            return record.org == org


def _is_live(record: Record, now: int) -> bool:
    return record.revoked_at is None and (record.expires_at is None or record.expires_at > now)
