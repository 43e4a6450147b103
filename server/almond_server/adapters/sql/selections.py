"""Selections of tokens, resolved through their records: an org's, an app's, a subject's, a minter's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Connection, Row, select, true

from almond_server.adapters.sql.rows import branches_of
from almond_server.adapters.sql.tables import TOKENS
from almond_server.ports import MintedBy, OfApp, OfOrg, OfSubject, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CHUNK: Final = 500

_COLUMNS: Final = (
    TOKENS.c.id,
    TOKENS.c.org,
    TOKENS.c.app,
    TOKENS.c.minter_branches,
    TOKENS.c.expires_at,
    TOKENS.c.revoked_at,
)


def live(connection: Connection, selection: Selection, now: int) -> list[Row[Any]]:
    """Return id, org, app and expires_at of the selected tokens that are neither revoked nor expired.

    What is over is followed all the same: a token may outlive the session that minted it.
    """
    found = {row.id: row for row in _first_level(connection, selection)}
    newest = list(found) if selection.is_recursive else []
    while newest:
        level = [row for ids in chunks(newest) for row in _rows(connection, TOKENS.c.minter_id.in_(ids))]
        newest = [row.id for row in level if row.id not in found]
        found.update((row.id, row) for row in level)
    return [
        row
        for row in found.values()
        if row.revoked_at is None and (row.expires_at is None or row.expires_at > now)
    ]


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut ids into what one statement takes."""
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))


def _first_level(connection: Connection, selection: Selection) -> Iterable[Row[Any]]:
    before = selection.issued_before_ms
    in_time = true() if before is None else TOKENS.c.created_at_ms < before
    rows = _rows(connection, _belongs(selection), in_time)
    if isinstance(selection.of, MintedBy) and selection.of.branch_id is not None:
        return [row for row in rows if selection.of.branch_id in branches_of(row.minter_branches)]
    return rows


def _belongs(selection: Selection) -> ColumnElement[bool]:
    match selection.of:
        case MintedBy(token_id, _):
            return TOKENS.c.minter_id == token_id
        case OfSubject(subject):
            return TOKENS.c.subject == subject
        case OfApp(org, app):
            return (TOKENS.c.org == org) & (TOKENS.c.app == app)
        case OfOrg(org):
            return TOKENS.c.org == org


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> Iterable[Row[Any]]:
    # Derived tokens are withdrawn with the minted ones they derive from.
    return connection.execute(select(*_COLUMNS).where(TOKENS.c.lineage.is_(None), *conditions))
