"""Selections of tokens, resolved through their records: an org's, an app's, a subject's, a minter's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from almond_server.adapters.sql import cut_off_records
from almond_server.adapters.sql.rows import branches_of
from almond_server.adapters.sql.tables import TOKENS
from almond_server.ports import MintedBy, OfApp, OfOrg, OfSubject, Scope, Selection

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
    TOKENS.c.subject,
    TOKENS.c.created_at_ms,
    cut_off_records.minted_is_cut_off().label("is_cut_off"),
)


def live(connection: Connection, selection: Selection, now: int, most: int | None = None) -> list[Row[Any]]:
    """Return `_COLUMNS` of the selected tokens that are neither revoked nor expired; the newest `most`.

    What is over is followed all the same: a token may outlive the session that minted it.
    """
    if most is not None and not selection.is_recursive:
        newest_first = (TOKENS.c.created_at_ms.desc(), TOKENS.c.id.desc())
        living = _living(connection, selection, now)
        return list(connection.execute(living.order_by(*newest_first).limit(most)))
    found = {row.id: row for row in _first_level(connection, selection)}
    newest = list(found) if selection.is_recursive else []
    while newest:
        level = [row for ids in chunks(newest) for row in _rows(connection, TOKENS.c.minter_id.in_(ids))]
        newest = [row.id for row in level if row.id not in found]
        found.update((row.id, row) for row in level)
    return [
        row
        for row in found.values()
        if row.revoked_at is None and not row.is_cut_off and (row.expires_at is None or row.expires_at > now)
    ]


def newest_issue(connection: Connection, scope: Scope, name: str) -> int:
    """Return the newest issue time on record, in milliseconds, of an org or a subject; 0 if there is none.

    Tokens of several orgs count for each org, as the records do not say which.
    """
    if scope is Scope.SUBJECT:
        newest = select(func.max(TOKENS.c.created_at_ms)).where(TOKENS.c.subject == name)
        return connection.scalar(newest) or 0
    by_org = (
        select(TOKENS.c.created_at_ms)
        .where(TOKENS.c.org == org)
        .order_by(TOKENS.c.created_at_ms.desc())
        .limit(1)
        for org in (name, "")
    )
    return max(connection.scalar(each) or 0 for each in by_org)


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut ids into what one statement takes."""
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))


def _living(connection: Connection, selection: Selection, now: int) -> Select[Any]:
    lasting = or_(TOKENS.c.expires_at.is_(None), TOKENS.c.expires_at > now)
    is_live = and_(TOKENS.c.revoked_at.is_(None), lasting, ~cut_off_records.minted_is_cut_off())
    return _minted(_belongs(selection), *_bounds(connection, selection), is_live)


def _first_level(connection: Connection, selection: Selection) -> Iterable[Row[Any]]:
    rows = _rows(connection, _belongs(selection), *_bounds(connection, selection))
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


def _bounds(connection: Connection, selection: Selection) -> Iterator[ColumnElement[bool]]:
    if selection.issued_before_ms is not None:
        yield TOKENS.c.created_at_ms < selection.issued_before_ms
    if isinstance(selection.of, OfApp | OfOrg):
        yield cut_off_records.made_after(connection, selection.of.org)


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> Iterable[Row[Any]]:
    return connection.execute(_minted(*conditions))


def _minted(*conditions: ColumnElement[bool]) -> Select[Any]:
    # Derived tokens are withdrawn with the minted ones they derive from.
    return select(*_COLUMNS).where(TOKENS.c.lineage.is_(None), *conditions)
