"""Which records fall under cut-offs, as conditions of SQL and as records are read.

A cut-off changes no record, because there may be millions: it shows when they are read. The conditions are
those of `cut_off_rules` in SQL; the contract suite compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, and_, exists, or_, select, true

from almond_core.model import RESERVED_ORG
from almond_server.adapters.sql import cut_offs
from almond_server.adapters.sql.record_rows import record_of
from almond_server.adapters.sql.tables import CUT_OFFS, TOKENS
from almond_server.domain import cut_off_rules
from almond_server.domain.revocations import Scope, org_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.domain.records import Record

_CHUNK: Final = 500
_MINTED: Final = TOKENS.alias("minted")


def minted_is_cut_off(tokens: FromClause = TOKENS) -> ColumnElement[bool]:
    """Return the condition that a row of a query over minted tokens falls under a cut-off."""
    row = tokens.c
    in_time = CUT_OFFS.c.until_ms >= row.created_at_ms
    return or_(
        and_(row.org != RESERVED_ORG, _exists(Scope.ORG, row.org, in_time)),
        _exists(Scope.SUBJECT, row.subject, in_time),
        _exists(Scope.KEY, row.key_id),
    )


def is_cut_off() -> ColumnElement[bool]:
    """Return the condition that a row of a query over all tokens falls under a cut-off."""
    return exists().where(_MINTED.c.id == TOKENS.c.token_id, minted_is_cut_off(_MINTED))


def issued_after_cut_off(connection: Connection, org: str, margin_ms: int = 0) -> ColumnElement[bool]:
    """Return a condition that narrows the records of an org to those that can be live; an index serves it.

    Records up to `margin_ms` older than the org's cut-off satisfy it too.
    """
    target = org_target(org)
    standing = None if target is None else cut_offs.standing(connection, target)
    if standing is None or standing.until_ms is None:
        return true()
    return TOKENS.c.created_at_ms > standing.until_ms - margin_ms


def as_read(connection: Connection, records: Sequence[Record]) -> list[Record]:
    """Return records with `revoked_*` of what revoked them first (`cut_off_rules.as_read`)."""
    minted = _minted(connection, records)
    targets = {target for each in minted.values() for target in cut_off_rules.targets_of_record(each)}
    recorded = cut_off_rules.by_target(cut_offs.recorded(connection, targets))
    return [cut_off_rules.as_read(each, minted.get(each.token_id, each), recorded) for each in records]


def _exists(scope: Scope, name: ColumnElement[Any], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(CUT_OFFS.c.scope == scope, CUT_OFFS.c.name == name, *conditions)


def _minted(connection: Connection, records: Sequence[Record]) -> dict[str, Record]:
    minted = {each.token_id: each for each in records if not each.lineage}
    missing = sorted({each.token_id for each in records} - minted.keys())
    for start in range(0, len(missing), _CHUNK):
        own = TOKENS.c.id.in_(missing[start : start + _CHUNK])
        minted.update((row.id, record_of(row)) for row in connection.execute(select(TOKENS).where(own)))
    return minted
