"""Cut-offs as rows: added, read by revision and as a whole, forgotten once a higher one is old enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, and_, delete, exists, func, insert, or_, select, tuple_, update

from almond_server.adapters.sql.tables import CUT_OFFS, REVISIONS
from almond_server.domain.revocations import CutOff, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK: Final = 500
_PLACE: Final = (CUT_OFFS.c.scope, CUT_OFFS.c.name)


@dataclass(frozen=True, slots=True)
class Made:
    """A cut-off with when, by whom and why it was made."""

    cut_off: CutOff
    at: int
    by: str
    reason: str


def standing(connection: Connection, scope: Scope, name: str) -> CutOff | None:
    """Return the highest cut-off of a scope and name."""
    row = _newest(connection, scope, name)
    return None if row is None else _cut_off(row)


def add(connection: Connection, made: Made, number: int) -> bool:
    """Add a cut-off under a revision unless one as high stands; answers whether it was added."""
    cut_off = made.cut_off
    newest = _newest(connection, cut_off.scope, cut_off.name)
    if newest is not None and not cut_off.is_above(_cut_off(newest)):
        return False
    values = {"until_ms": cut_off.until_ms, "at": made.at, "by": made.by, "reason": made.reason}
    if newest is not None and newest.revision == number:  # of this very transaction: nobody has read it
        own = (CUT_OFFS.c.scope == cut_off.scope) & (CUT_OFFS.c.name == cut_off.name)
        connection.execute(update(CUT_OFFS).where(own, CUT_OFFS.c.revision == number).values(values))
    else:
        place = {"scope": cut_off.scope, "name": cut_off.name, "revision": number}
        connection.execute(insert(CUT_OFFS).values(place | values))
    return True


def between(connection: Connection, after: int, until: int) -> Iterator[tuple[int, CutOff]]:
    """Yield the cut-offs of the revisions after one and until another, with their revisions."""
    rows = connection.execute(
        select(CUT_OFFS)
        .where(CUT_OFFS.c.revision > after, CUT_OFFS.c.revision <= until)
        .order_by(CUT_OFFS.c.revision, *_PLACE)
    )
    return ((row.revision, _cut_off(row)) for row in rows)


def highest(connection: Connection, number: int) -> list[CutOff]:
    """Return the highest of each scope and name, of those up to a revision."""
    rows = connection.execute(
        select(*_PLACE, func.max(CUT_OFFS.c.until_ms).label("until_ms"))
        .where(CUT_OFFS.c.revision <= number)
        .group_by(*_PLACE)
        .order_by(*_PLACE)
    )
    return [_cut_off(row) for row in rows]


def made(connection: Connection, places: Sequence[tuple[Scope, str]]) -> Iterator[Made]:
    """Yield all cut-offs of some scopes and names; those of one name in the order they were made."""
    for start in range(0, len(places), _CHUNK):
        names: dict[Scope, list[str]] = {}
        for scope, name in places[start : start + _CHUNK]:
            names.setdefault(scope, []).append(name)
        some = or_(*(and_(CUT_OFFS.c.scope == each, CUT_OFFS.c.name.in_(names[each])) for each in names))
        for row in connection.execute(select(CUT_OFFS).where(some).order_by(CUT_OFFS.c.revision)):
            yield Made(_cut_off(row), row.at, row.by, row.reason)


def covering(connection: Connection, places: Sequence[tuple[Scope, str]], issued_at_ms: int) -> list[CutOff]:
    """Return the highest of some scopes and names under which a token issued at a time falls."""
    if not places:
        return []
    rows = connection.execute(
        select(*_PLACE, func.max(CUT_OFFS.c.until_ms).label("until_ms"))
        .where(
            or_(*(and_(CUT_OFFS.c.scope == scope, CUT_OFFS.c.name == name) for scope, name in places)),
            or_(CUT_OFFS.c.until_ms.is_(None), CUT_OFFS.c.until_ms >= issued_at_ms),
        )
        .group_by(*_PLACE)
    )
    return [_cut_off(row) for row in rows]


def prune(connection: Connection, limit: int) -> int:
    """Forget at most `limit` that a higher one replaced so long ago that nobody asks for either change."""
    higher = CUT_OFFS.alias("higher")
    oldest = select(func.min(REVISIONS.c.number)).scalar_subquery()
    replaced = exists().where(
        higher.c.scope == CUT_OFFS.c.scope,
        higher.c.name == CUT_OFFS.c.name,
        higher.c.revision > CUT_OFFS.c.revision,
        higher.c.revision < oldest,
    )
    keys = (*_PLACE, CUT_OFFS.c.revision)
    rows = connection.execute(select(*keys).where(replaced).order_by(CUT_OFFS.c.revision).limit(limit)).all()
    if rows:
        connection.execute(delete(CUT_OFFS).where(tuple_(*keys).in_([tuple(row) for row in rows])))
    return len(rows)


def _newest(connection: Connection, scope: Scope, name: str) -> Row[Any] | None:
    # Which is the highest too: each is above the one before.
    own = (CUT_OFFS.c.scope == scope) & (CUT_OFFS.c.name == name)
    return connection.execute(
        select(CUT_OFFS).where(own).order_by(CUT_OFFS.c.revision.desc()).limit(1)
    ).one_or_none()


def _cut_off(row: Row[*tuple[Any, ...]]) -> CutOff:
    return CutOff(Scope(row.scope), row.name, row.until_ms)
