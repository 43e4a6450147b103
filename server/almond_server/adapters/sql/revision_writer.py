"""Writes what several calls revoke, in one transaction and under one new revision.

Rules:

* A call is refused before it adds an entry, and its refusal does not concern the other calls.
* An entry that several calls request is added for one of them: it alone counts it, and is in the audit log.
* A call that adds nothing is answered with the newest revision: what it requested is revoked at that one.
* The revision is written last, and only if an entry was added.
* Statements are few and serve many calls, because every other writer waits for this transaction.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.exc import DBAPIError

from almond_server.adapters.sql import audit, cut_offs, idempotency, revocation_rows, selections
from almond_server.adapters.sql.record_rows import record_of
from almond_server.adapters.sql.tables import REVISIONS, STORE, TOKENS
from almond_server.domain import cut_off_rules, cut_off_text
from almond_server.domain.revocations import (
    CutOff,
    RecordedCutOff,
    Revocation,
    RevokeReceipt,
    check_unused,
    highest,
)
from almond_server.domain.selections import is_within
from almond_server.domain.stores import AuditRow
from almond_server.errors import SelectionChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Row

    from almond_server.domain.revocations import Reading
    from almond_server.domain.selections import Selection
    from almond_server.domain.stores import Actor, Idempotency

_MARK_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class RequestedRevocations:
    """The entries that a call asks to add; those that stand already are left out when it runs."""

    revocations: Sequence[Revocation]
    cut_offs: Sequence[CutOff]
    is_all: bool = True
    """Whether a selection has no more entries than these."""


@dataclass(frozen=True, slots=True)
class RevokeCall:
    """One caller's request to revoke."""

    requested: RequestedRevocations | Callable[[Connection], RequestedRevocations]
    """The entries, or a function that reads them within the transaction."""

    actor: Actor
    reason: str
    request: Idempotency | None
    now: int
    entries: int = 0
    """How many entries its earlier transactions added."""


@dataclass(slots=True)
class _AcceptedCall:
    """A call that was not refused, the entries it requests, and how many of them were added."""

    call: RevokeCall
    requested: RequestedRevocations
    entries: int = 0

    @property
    def all_entries(self) -> int:
        """How many entries it has added, those of its earlier transactions included."""
        return self.call.entries + self.entries


class RevisionWriter:
    """Writes one revision: the next one, which all calls of a transaction share."""

    def __init__(self, connection: Connection, before: Reading) -> None:
        """Write in the transaction of `connection`; `before` is what was read at its beginning."""
        self._connection = connection
        self._before = before
        self._next = before.number + 1
        self._is_used = False

    def outcomes(self, calls: Sequence[RevokeCall]) -> list[RevokeReceipt | Exception]:
        """Revoke what the calls request; return for each, in order, its receipt or why it was refused."""
        return [outcome for batch in _without_repeats(calls) for outcome in self._outcomes(batch)]

    def finish(self) -> None:
        """Write the revision, if any entry was added. This must be the last write of the transaction."""
        if self._is_used:
            mark, at = secrets.token_bytes(_MARK_BYTES), self._before.store_time
            self._connection.execute(insert(REVISIONS).values(number=self._next, mark=mark, at=at))
            self._connection.execute(update(STORE).values(revision=self._next, clock=at))

    def _outcomes(self, calls: Sequence[RevokeCall]) -> list[RevokeReceipt | Exception]:
        resolved = [self._resolve(call) for call in calls]
        accepted = [each for each in resolved if isinstance(each, _AcceptedCall)]
        self._add_revocations(accepted)
        for each in accepted:
            self._add_cut_offs(each)
        self._is_used |= any(each.entries for each in accepted)
        # A call that added nothing may share entries with one that did: they are revoked at this revision.
        number = self._next if self._is_used else self._before.number
        answers = [
            (each.call.request, f"{each.all_entries} {number}") for each in accepted if each.requested.is_all
        ]
        idempotency.remember(self._connection, answers, max(call.now for call in calls))
        return [
            RevokeReceipt(each.all_entries, self._before.epoch, number, each.requested.is_all)
            if isinstance(each, _AcceptedCall)
            else each
            for each in resolved
        ]

    def _resolve(self, call: RevokeCall) -> _AcceptedCall | RevokeReceipt | Exception:
        """Return the call with its entries, the answer to an earlier call of its request, or its refusal."""
        try:
            earlier = answered(self._connection, call.request, call.now, self._before.epoch)
            if earlier is not None:
                return earlier
            requested = call.requested
            if not isinstance(requested, RequestedRevocations):
                requested = requested(self._connection)
            return _AcceptedCall(call, requested)
        except DBAPIError:
            # A full disk or a lost session has broken the whole transaction.
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this call alone
            return error

    def _add_revocations(self, accepted: Iterable[_AcceptedCall]) -> None:
        by_stamp: dict[revocation_rows.Stamp, list[_AcceptedCall]] = {}
        for each in accepted:
            call = each.call
            stamp = revocation_rows.Stamp(self._next, call.now, call.actor.name, call.reason)
            by_stamp.setdefault(stamp, []).append(each)
        for stamp, group in by_stamp.items():
            requested = [entry for each in group for entry in each.requested.revocations]
            added = set(revocation_rows.add(self._connection, requested, stamp))
            for each in group:
                own = added.intersection(each.requested.revocations)
                each.entries += len(own)
                added -= own

    def _add_cut_offs(self, accepted: _AcceptedCall) -> None:
        call = accepted.call
        for each in highest(accepted.requested.cut_offs).values():
            made = RecordedCutOff(each, self._next, call.now, call.actor.name, call.reason)
            if cut_offs.add(self._connection, made):
                action, detail = cut_off_text.action(each), cut_off_text.detail(each, call.reason)
                row = AuditRow(call.now, call.actor.name, action, each.name, detail, self._next)
                audit.write(self._connection, row)
                accepted.entries += 1


def selected(
    connection: Connection,
    selection: Selection,
    within: frozenset[tuple[str, str]] | None,
    now: int,
    max_entries: int,
) -> RequestedRevocations:
    """Return the entries of a selection: its cut-off, if it has one, and what does not fall under that.

    At most `max_entries` revocations. Raises `SelectionChangedError` for a record whose (org, app) is not
    `within`.
    """
    found = list(islice(selections.beyond_cut_off(connection, selection, now), max_entries + 1))
    rows = found[:max_entries]
    if within is not None and not is_within(
        selections.orgs_and_apps(connection, selection, now, rows), within
    ):
        raise SelectionChangedError
    cut_off = _cut_off(connection, selection, now)
    others = [Revocation(row.id, None, row.expires_at) for row in rows if not _falls_under(row, cut_off)]
    return RequestedRevocations(others, [] if cut_off is None else [cut_off], len(found) <= max_entries)


def if_unused(connection: Connection, revocation: Revocation, since: int) -> RequestedRevocations:
    """Return the entry of a revocation; raises `TokenInUseError` unless its token is unused since a time."""
    # Locked, so that a use that another server reports now is seen, or comes after the revocation.
    own = select(TOKENS).where(TOKENS.c.id == revocation.token_id).with_for_update()
    row = connection.execute(own).one_or_none()
    check_unused(None if row is None else record_of(row), since)
    return RequestedRevocations([revocation], ())


def answered(
    connection: Connection, request: Idempotency | None, now: int, epoch: str
) -> RevokeReceipt | None:
    """Return the answer to an earlier call of the same request, or None; `RequestReusedError`."""
    earlier = idempotency.answered(connection, request, now)
    if earlier is None:
        return None
    entries, number = map(int, earlier.split())
    return RevokeReceipt(entries, epoch, number)


def _cut_off(connection: Connection, selection: Selection, now: int) -> CutOff | None:
    if selection.cut_off is None:
        return None
    newest_issue_ms = selections.newest_issue(connection, selection.cut_off)
    return cut_off_rules.cut_off_of(selection, now, newest_issue_ms)


def _falls_under(row: Row[Any], cut_off: CutOff | None) -> bool:
    targets = cut_off_rules.targets_of_token(row.key_id, row.subject, row.org)
    return cut_off is not None and cut_off_rules.falls_under(cut_off, targets, row.created_at_ms)


def _without_repeats(calls: Iterable[RevokeCall]) -> Iterator[list[RevokeCall]]:
    """Cut calls into batches in which no request comes twice: the second is answered what the first was."""
    batch: list[RevokeCall] = []
    seen: set[bytes] = set()
    for call in calls:
        key = None if call.request is None else call.request.key
        if key in seen:
            yield batch
            batch, seen = [], set()
        batch.append(call)
        if key is not None:
            seen.add(key)
    yield batch
