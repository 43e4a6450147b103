"""Revoking for several calls at once, under one new revision.

In a few statements: everybody who writes waits meanwhile, and each statement waits for its turn to run.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, update
from sqlalchemy.exc import DBAPIError

from almond_server.adapters.sql import audit, cut_offs, idempotency, revocation_rows
from almond_server.adapters.sql.tables import REVISIONS, STORE
from almond_server.adapters.sql.wanted import RequestedRevocations
from almond_server.domain import cut_off_text
from almond_server.domain.revocations import RecordedCutOff, RevokeReceipt, highest
from almond_server.domain.stores import AuditRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from almond_server.domain.revocations import Reading
    from almond_server.domain.stores import Actor, Idempotency

_MARK_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class RevokeCall:
    """What one caller wants revoked; which entries that is can depend on what is in the store."""

    wanted: RequestedRevocations | Callable[[Connection], RequestedRevocations]
    actor: Actor
    reason: str
    request: Idempotency | None
    now: int
    entries: int = 0
    """How many earlier parts of it have made."""


@dataclass(slots=True)
class _Order:
    """A call that was not refused, what it wants, and how many entries it made."""

    call: RevokeCall
    wanted: RequestedRevocations
    entries: int = 0

    @property
    def all_entries(self) -> int:
        """How many it made, with its earlier parts."""
        return self.call.entries + self.entries


class RevisionWriter:
    """The one next revision of a transaction, which all of its calls share."""

    def __init__(self, connection: Connection, before: Reading) -> None:
        """Take the transaction, and what was read at its beginning."""
        self._connection = connection
        self._before = before
        self._next = before.number + 1
        self._is_used = False

    def outcomes(self, calls: Sequence[RevokeCall]) -> list[RevokeReceipt | Exception]:
        """Do what each call wants, or return in its place why it was refused: that comes before any entry.

        What several want is the entry of one of them, and its alone in the audit log.
        """
        return [outcome for some in _together(calls) for outcome in self._outcomes(some)]

    def finish(self) -> None:
        """Write the revision down, last in the transaction."""
        if self._is_used:
            mark, at = secrets.token_bytes(_MARK_BYTES), self._before.store_time
            self._connection.execute(insert(REVISIONS).values(number=self._next, mark=mark, at=at))
            self._connection.execute(update(STORE).values(revision=self._next, clock=at))

    def _outcomes(self, calls: Sequence[RevokeCall]) -> list[RevokeReceipt | Exception]:
        found = [self._look_at(call) for call in calls]
        orders = [each for each in found if isinstance(each, _Order)]
        self._revoke(orders)
        for order in orders:
            self._cut_off(order)
        self._is_used |= any(order.entries for order in orders)
        # Who made no entry may have come after one that did: what it wants is revoked at this revision.
        number = self._next if self._is_used else self._before.number
        answers = [
            (order.call.request, f"{order.all_entries} {number}") for order in orders if order.wanted.is_all
        ]
        idempotency.remember(self._connection, answers, max(call.now for call in calls))
        return [
            RevokeReceipt(each.all_entries, self._before.epoch, number, each.wanted.is_all)
            if isinstance(each, _Order)
            else each
            for each in found
        ]

    def _look_at(self, call: RevokeCall) -> _Order | RevokeReceipt | Exception:
        try:
            earlier = answered(self._connection, call.request, call.now, self._before.epoch)
            if earlier is not None:
                return earlier
            wanted = call.wanted
            return _Order(
                call, wanted if isinstance(wanted, RequestedRevocations) else wanted(self._connection)
            )
        except DBAPIError:  # a full disk, a lost session: it has broken the whole transaction
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this call's own
            return error

    def _revoke(self, orders: Iterable[_Order]) -> None:
        alike: dict[revocation_rows.Stamp, list[_Order]] = {}
        for order in orders:
            call = order.call
            stamp = revocation_rows.Stamp(self._next, call.now, call.actor.name, call.reason)
            alike.setdefault(stamp, []).append(order)
        for stamp, some in alike.items():
            wanted = [each for order in some for each in order.wanted.revocations]
            new = set(revocation_rows.add(self._connection, wanted, stamp))
            for order in some:
                own = new.intersection(order.wanted.revocations)
                order.entries += len(own)
                new -= own

    def _cut_off(self, order: _Order) -> None:
        call = order.call
        for each in highest(order.wanted.cut_offs).values():
            made = RecordedCutOff(each, self._next, call.now, call.actor.name, call.reason)
            if cut_offs.add(self._connection, made):
                action, detail = cut_off_text.action(each), cut_off_text.detail(each, call.reason)
                row = AuditRow(call.now, call.actor.name, action, each.name, detail, self._next)
                audit.write(self._connection, row)
                order.entries += 1


def answered(
    connection: Connection, request: Idempotency | None, now: int, epoch: str
) -> RevokeReceipt | None:
    """Return what was answered to the request before; raises as `requests.answered`."""
    earlier = idempotency.answered(connection, request, now)
    if earlier is None:
        return None
    entries, number = map(int, earlier.split())
    return RevokeReceipt(entries, epoch, number)


def _together(calls: Iterable[RevokeCall]) -> Iterator[list[RevokeCall]]:
    """Cut calls into rows that are done together.

    No request comes twice in one: the second is answered what the first was.
    """
    some: list[RevokeCall] = []
    seen: set[bytes] = set()
    for call in calls:
        key = None if call.request is None else call.request.key
        if key in seen:
            yield some
            some, seen = [], set()
        some.append(call)
        if key is not None:
            seen.add(key)
    yield some
