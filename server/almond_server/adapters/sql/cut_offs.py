"""Adds cut-offs to the store, reads them by revision and by target, and prunes replaced ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from almond_server.adapters.sql.tables import CUT_OFFS, REVISIONS
from almond_server.domain.revocations import CutOff, CutOffTarget, RecordedCutOff, Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_CHUNK: Final = 500
_TARGET: Final = (CUT_OFFS.c.scope, CUT_OFFS.c.name)


def standing(connection: Connection, target: CutOffTarget) -> CutOff | None:
    """Return the standing cut-off of a target, which is the highest; None if it has none."""
    row = _newest(connection, target)
    return None if row is None else _cut_off(row)


def add(connection: Connection, made: RecordedCutOff) -> bool:
    """Add a cut-off under its revision unless one as high stands; return whether it was added."""
    cut_off = made.cut_off
    newest = _newest(connection, cut_off.target)
    if newest is not None and not cut_off.is_above(_cut_off(newest)):
        return False
    values = {"until_ms": cut_off.until_ms, "at": made.at, "by": made.by, "reason": made.reason}
    if newest is not None and newest.revision == made.revision:
        # The row is of this very transaction, so no reader has seen it.
        own = _is_about(cut_off.target) & (CUT_OFFS.c.revision == made.revision)
        connection.execute(update(CUT_OFFS).where(own).values(values))
    else:
        key = {"scope": cut_off.scope, "name": cut_off.name, "revision": made.revision}
        connection.execute(insert(CUT_OFFS).values(key | values))
    return True


def between(connection: Connection, after: int, until: int) -> Iterator[tuple[int, CutOff]]:
    """Yield the cut-offs of the revisions above `after` up to `until`, each with its revision."""
    rows = connection.execute(
        select(CUT_OFFS)
        .where(CUT_OFFS.c.revision > after, CUT_OFFS.c.revision <= until)
        .order_by(CUT_OFFS.c.revision, *_TARGET)
    )
    return ((row.revision, _cut_off(row)) for row in rows)


def highest(connection: Connection, number: int) -> list[CutOff]:
    """Return the highest cut-off of each target, of those up to revision `number`."""
    return _highest(connection, CUT_OFFS.c.revision <= number)


def highest_of(connection: Connection, targets: Collection[CutOffTarget]) -> list[CutOff]:
    """Return the highest cut-off of each of these targets that has one."""
    return _highest(connection, or_(*map(_is_about, targets))) if targets else []


def recorded(connection: Connection, targets: Collection[CutOffTarget]) -> Iterator[RecordedCutOff]:
    """Yield all cut-offs of these targets."""
    ordered = sorted(targets)
    for start in range(0, len(ordered), _CHUNK):
        names: dict[Scope, list[str]] = {}
        for scope, name in ordered[start : start + _CHUNK]:
            names.setdefault(scope, []).append(name)
        chosen = or_(*(and_(CUT_OFFS.c.scope == each, CUT_OFFS.c.name.in_(names[each])) for each in names))
        for row in connection.execute(select(CUT_OFFS).where(chosen).order_by(CUT_OFFS.c.revision)):
            yield RecordedCutOff(_cut_off(row), row.revision, row.at, row.by, row.reason)


def prune(connection: Connection, limit: int) -> int:
    """Delete up to `limit` cut-offs that a higher one replaced whose revision is pruned already."""
    higher = CUT_OFFS.alias("higher")
    oldest = select(func.min(REVISIONS.c.number)).scalar_subquery()
    replaced = exists().where(
        higher.c.scope == CUT_OFFS.c.scope,
        higher.c.name == CUT_OFFS.c.name,
        higher.c.revision > CUT_OFFS.c.revision,
        higher.c.revision < oldest,
    )
    keys = (*_TARGET, CUT_OFFS.c.revision)
    rows = connection.execute(select(*keys).where(replaced).order_by(CUT_OFFS.c.revision).limit(limit)).all()
    if rows:
        connection.execute(delete(CUT_OFFS).where(tuple_(*keys).in_([tuple(row) for row in rows])))
    return len(rows)


def _highest(connection: Connection, condition: ColumnElement[bool]) -> list[CutOff]:
    rows = connection.execute(
        select(*_TARGET, func.max(CUT_OFFS.c.until_ms).label("until_ms"))
        .where(condition)
        .group_by(*_TARGET)
        .order_by(*_TARGET)
    )
    return [_cut_off(row) for row in rows]


def _newest(connection: Connection, target: CutOffTarget) -> Row[Any] | None:
    # The newest one is the highest too, because each is above the one before.
    return connection.execute(
        select(CUT_OFFS).where(_is_about(target)).order_by(CUT_OFFS.c.revision.desc()).limit(1)
    ).one_or_none()


def _is_about(target: CutOffTarget) -> ColumnElement[bool]:
    scope, name = target
    return and_(CUT_OFFS.c.scope == scope, CUT_OFFS.c.name == name)


def _cut_off(row: Row[*tuple[Any, ...]]) -> CutOff:
    return CutOff(Scope(row.scope), row.name, row.until_ms)
