"""Reads revocations, by revision and as a whole, and prunes those that are no longer needed."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, delete, or_, select, tuple_

from almond_server.adapters.sql import cut_offs
from almond_server.adapters.sql.tables import REVISIONS, REVOCATIONS, STORE
from almond_server.domain.revocations import (
    KEPT_SECONDS,
    LINKED_SECONDS,
    MAX_ENTRIES,
    Change,
    CutOff,
    Revocation,
)
from almond_server.domain.stores import RevisionForgottenError

if TYPE_CHECKING:
    from collections.abc import Sequence

# A reader of changes holds up to two full ones in memory.
_MAX_READ_ENTRIES: Final = 2 * MAX_ENTRIES
_ORDER: Final = (REVOCATIONS.c.token_id, REVOCATIONS.c.branch_id)


def after(connection: Connection, number: int, limit: int) -> list[Change]:
    """Return up to `limit` changes after revision `number`; raises `RevisionForgottenError`.

    Together they have at most `_MAX_READ_ENTRIES`. Only one change may have more, and is then returned alone.
    """
    revisions = connection.execute(
        select(REVISIONS).where(REVISIONS.c.number >= number).order_by(REVISIONS.c.number).limit(limit + 1)
    ).all()
    if not revisions or revisions[0].number != number:
        raise RevisionForgottenError(number)
    last = revisions[-1].number
    rows = _rows(connection, number, last)
    if len(rows) > _MAX_READ_ENTRIES:
        last = max(rows[-1].revision - 1, number + 1)
        rows = [each for each in rows if each.revision <= last]
        while len(rows) > _MAX_READ_ENTRIES and (more := _rows(connection, number, last, rows[-1])):
            rows += more
        revisions = [each for each in revisions if each.number <= last]
    entries = {each: tuple(map(_entry, group)) for each, group in groupby(rows, key=lambda row: row.revision)}
    raised: dict[int, list[CutOff]] = {}
    for each, cut_off in cut_offs.between(connection, number, last):
        raised.setdefault(each, []).append(cut_off)
    marks = [bytes(each.mark) for each in revisions]
    return [
        Change(
            revision.number,
            mark,
            before,
            entries.get(revision.number, ()),
            tuple(raised.get(revision.number, ())),
        )
        for revision, mark, before in zip(revisions[1:], marks[1:], marks, strict=False)
    ]


def _rows(connection: Connection, number: int, last: int, row: Row[Any] | None = None) -> list[Row[Any]]:
    """Return entries of the revisions above `number` up to `last` that come after `row`.

    At most one more than `_MAX_READ_ENTRIES`, which shows that there are too many.
    """
    columns = (REVOCATIONS.c.revision, *_ORDER)
    statement = select(REVOCATIONS).where(REVOCATIONS.c.revision > number, REVOCATIONS.c.revision <= last)
    if row is not None:
        statement = statement.where(tuple_(*columns) > (row.revision, row.token_id, row.branch_id))
    return list(connection.execute(statement.order_by(*columns).limit(_MAX_READ_ENTRIES + 1)))


def mark_of(connection: Connection, number: int) -> bytes | None:
    """Return the mark of a revision, or None."""
    mark = connection.scalar(select(REVISIONS.c.mark).where(REVISIONS.c.number == number))
    return None if mark is None else bytes(mark)


def page(connection: Connection, number: int, last: Revocation | None, limit: int) -> Sequence[Revocation]:
    """Return up to `limit` entries up to revision `number`, ordered by their ids, after the entry `last`."""
    statement = select(REVOCATIONS).where(REVOCATIONS.c.revision <= number)
    if last is not None:
        token_id, branch_id = REVOCATIONS.c.token_id, REVOCATIONS.c.branch_id
        same_token = (token_id == last.token_id) & (branch_id > (last.branch_id or b""))
        statement = statement.where(or_(token_id > last.token_id, same_token), token_id >= last.token_id)
    return [_entry(row) for row in connection.execute(statement.order_by(*_ORDER).limit(limit))]


def prune(connection: Connection, store_time: int, limit: int) -> int:
    """Delete what `stores.Revocations.prune` names, at most `limit` of each kind; return how much."""
    expired = (
        select(*_ORDER)
        .where(REVOCATIONS.c.ends_at < store_time - KEPT_SECONDS)
        .order_by(REVOCATIONS.c.ends_at)
        .limit(limit)
    )
    for token_id, branch_id in (deleted := connection.execute(expired).all()):
        connection.execute(
            delete(REVOCATIONS).where(
                REVOCATIONS.c.token_id == token_id, REVOCATIONS.c.branch_id == branch_id
            )
        )
    newest = select(STORE.c.revision).scalar_subquery()
    old = (
        select(REVISIONS.c.number)
        .where(REVISIONS.c.at < store_time - LINKED_SECONDS, REVISIONS.c.number < newest)
        .order_by(REVISIONS.c.number)
        .limit(limit)
    )
    numbers = connection.scalars(old).all()
    if numbers:
        connection.execute(delete(REVISIONS).where(REVISIONS.c.number <= numbers[-1]))
    return len(deleted) + len(numbers) + cut_offs.prune(connection, limit)


def _entry(row: Row[Any]) -> Revocation:
    return Revocation(row.token_id, bytes(row.branch_id) or None, row.ends_at)
