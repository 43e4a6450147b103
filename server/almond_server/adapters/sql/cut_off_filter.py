"""Records under cut-offs. No cut-off changes a record, as there may be millions: it shows when they are read.

A derived token falls under what the minted one does that it derives from: their identifier is the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, and_, exists, or_, select, true

from almond_core.model import RESERVED_ORG
from almond_server.adapters.sql import cut_offs
from almond_server.adapters.sql.record_rows import record_of
from almond_server.adapters.sql.tables import CUT_OFFS, TOKENS
from almond_server.domain.revocations import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from almond_server.adapters.sql.cut_offs import Made
    from almond_server.domain.records import Record

_CHUNK: Final = 500
_MINTED: Final = TOKENS.alias("minted")


def minted_is_cut_off(tokens: FromClause = TOKENS) -> ColumnElement[bool]:
    """Tell of each row of a query over minted tokens whether it falls under a cut-off."""
    row = tokens.c
    in_time = CUT_OFFS.c.until_ms >= row.created_at_ms
    return or_(
        and_(row.org != RESERVED_ORG, _exists(Scope.ORG, row.org, in_time)),
        _exists(Scope.SUBJECT, row.subject, in_time),
        _exists(Scope.KEY, row.key_id),
    )


def is_cut_off() -> ColumnElement[bool]:
    """Tell of each row of a query over the tokens whether it falls under a cut-off."""
    return exists().where(_MINTED.c.id == TOKENS.c.token_id, minted_is_cut_off(_MINTED))


def made_after(connection: Connection, org: str, margin_ms: int = 0) -> ColumnElement[bool]:
    """Narrow a query over the records of an org to those that can be live: what an index finds quickly."""
    standing = None if org == RESERVED_ORG else cut_offs.standing(connection, Scope.ORG, org)
    if standing is None or standing.until_ms is None:
        return true()
    return TOKENS.c.created_at_ms > standing.until_ms - margin_ms


def as_read(connection: Connection, records: Sequence[Record]) -> list[Record]:
    """Return records with `revoked_*` of the first thing that revoked them, a cut-off or their own."""
    minted = _minted(connection, records)
    places = {place for each in minted.values() for place in _places(each)}
    by_place: dict[tuple[Scope, str], list[Made]] = {}
    for each in cut_offs.made(connection, sorted(places)):
        by_place.setdefault((each.cut_off.scope, each.cut_off.name), []).append(each)
    if not by_place:
        return list(records)
    return [_as_read(each, minted.get(each.token_id, each), by_place) for each in records]


def _as_read(record: Record, minted: Record, by_place: dict[tuple[Scope, str], list[Made]]) -> Record:
    made = [each for place in _places(minted) for each in by_place.get(place, ())]
    return _earliest(record, made, minted.created_at_ms)


def _exists(scope: Scope, name: ColumnElement[Any], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(CUT_OFFS.c.scope == scope, CUT_OFFS.c.name == name, *conditions)


def _places(minted: Record) -> list[tuple[Scope, str]]:
    named = [(Scope.KEY, minted.key_id), (Scope.SUBJECT, minted.subject), (Scope.ORG, minted.org)]
    return [(scope, name) for scope, name in named if name and (scope, name) != (Scope.ORG, RESERVED_ORG)]


def _minted(connection: Connection, records: Sequence[Record]) -> dict[str, Record]:
    minted = {each.token_id: each for each in records if not each.lineage}
    missing = sorted({each.token_id for each in records} - minted.keys())
    for start in range(0, len(missing), _CHUNK):
        own = TOKENS.c.id.in_(missing[start : start + _CHUNK])
        minted.update((row.id, record_of(row)) for row in connection.execute(select(TOKENS).where(own)))
    return minted


def _earliest(record: Record, made: Iterable[Made], issued_at_ms: int) -> Record:
    under = [each for each in made if each.cut_off.covers(issued_at_ms)]
    first = min(under, key=lambda each: each.at, default=None)
    if first is None or (record.revoked_at is not None and record.revoked_at < first.at):
        return record
    return replace(record, revoked_at=first.at, revoked_by=first.by, revoke_reason=first.reason)
