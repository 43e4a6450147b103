"""Resolves selections of tokens by their records: of an org, an app, a subject or a minter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from almond_server.adapters.sql import cut_off_filter
from almond_server.adapters.sql.array_params import in_list
from almond_server.adapters.sql.record_rows import branches_of
from almond_server.adapters.sql.tables import TOKENS
from almond_server.domain.cut_off_rules import home_orgs_counted
from almond_server.domain.revocations import CutOffTarget, Scope
from almond_server.domain.selections import MintedBy, OfApp, OfOrg, OfSubject, Selection, WithMinted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CHUNK: Final = 2000

_COLUMNS: Final = (
    TOKENS.c.id,
    TOKENS.c.org,
    TOKENS.c.app,
    TOKENS.c.minter_branches,
    TOKENS.c.expires_at,
    TOKENS.c.revoked_at,
    TOKENS.c.subject,
    TOKENS.c.key_id,
    TOKENS.c.created_at_ms,
    cut_off_filter.minted_is_cut_off().label("is_cut_off"),
)


def live(connection: Connection, selection: Selection, now: int) -> Iterator[Row[Any]]:
    """Yield `_COLUMNS` of the selected tokens that are neither revoked nor expired, each once.

    What revoked and expired tokens minted is followed all the same: a token may outlive its minter.
    """
    if not selection.is_recursive:
        return _rows(connection, _belongs(selection), *_bounds(connection, selection), is_live(now))
    return _follow(connection, _first_level(connection, selection), now)


def beyond_cut_off(connection: Connection, selection: Selection, now: int) -> Iterator[Row[Any]]:
    """Yield the rows of `live`, without the first level if the selection has a cut-off: it may be a million.

    Tokens of the first level that another of its tokens minted are yielded nevertheless.
    """
    if selection.cut_off is None:
        return live(connection, selection, now)
    if not isinstance(selection.of, OfSubject):
        return iter(())
    own = TOKENS.alias("own")
    ids = select(own.c.id).where(own.c.subject == selection.of.subject, own.c.lineage.is_(None))
    if selection.issued_before_ms is not None:
        ids = ids.where(own.c.created_at_ms < selection.issued_before_ms)
    return _follow(connection, _rows(connection, TOKENS.c.minter_id.in_(ids)), now)


def orgs_and_apps(
    connection: Connection, selection: Selection, now: int, beyond: Iterable[Row[Any]]
) -> frozenset[tuple[str, str]]:
    """Return the (org, app) of all rows of `live`; `beyond` are the rows of `beyond_cut_off`."""
    found = {(row.org, row.app) for row in beyond}
    if selection.cut_off is not None:
        conditions = (_belongs(selection), *_bounds(connection, selection), is_live(now))
        first = select(TOKENS.c.org, TOKENS.c.app).where(TOKENS.c.lineage.is_(None), *conditions)
        found.update((row.org, row.app) for row in connection.execute(first.distinct()))
    return frozenset(found)


def newest_live(connection: Connection, selection: Selection, now: int, limit: int) -> list[str]:
    """Return the ids of the newest `limit` rows of `live`, for a selection that is not recursive."""
    living = _minted(_belongs(selection), *_bounds(connection, selection), is_live(now))
    newest_first = (TOKENS.c.created_at_ms.desc(), TOKENS.c.id.desc())
    return [row.id for row in connection.execute(living.order_by(*newest_first).limit(limit))]


def newest_issue(connection: Connection, target: CutOffTarget) -> int:
    """Return the newest issue time on record, in milliseconds, of an org or a subject; 0 if there is none."""
    scope, name = target
    if scope is Scope.SUBJECT:
        newest = select(func.max(TOKENS.c.created_at_ms)).where(TOKENS.c.subject == name)
        return connection.scalar(newest) or 0
    by_org = (
        select(TOKENS.c.created_at_ms)
        .where(TOKENS.c.org == org)
        .order_by(TOKENS.c.created_at_ms.desc())
        .limit(1)
        for org in home_orgs_counted(name)
    )
    return max(connection.scalar(each) or 0 for each in by_org)


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split ids into chunks, each for one statement."""
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))


def _follow(connection: Connection, level: Iterable[Row[Any]], now: int) -> Iterator[Row[Any]]:
    found: set[str] = set()
    while True:
        newest: list[str] = []
        for row in level:
            if row.id in found:
                continue
            found.add(row.id)
            newest.append(row.id)
            is_expired = row.expires_at is not None and row.expires_at <= now
            if row.revoked_at is None and not row.is_cut_off and not is_expired:
                yield row
        if not newest:
            return
        level = _minted_by(connection, newest)


def is_live(now: int) -> ColumnElement[bool]:
    """Return the condition that a minted token is neither revoked nor expired."""
    is_not_expired = or_(TOKENS.c.expires_at.is_(None), TOKENS.c.expires_at > now)
    return and_(TOKENS.c.revoked_at.is_(None), is_not_expired, ~cut_off_filter.minted_is_cut_off())


def _first_level(connection: Connection, selection: Selection) -> Iterable[Row[Any]]:
    rows = _rows(connection, _belongs(selection), *_bounds(connection, selection))
    if isinstance(selection.of, MintedBy) and selection.of.branch_id is not None:
        return [row for row in rows if selection.of.branch_id in branches_of(row.minter_branches)]
    return rows


def _belongs(selection: Selection) -> ColumnElement[bool]:
    match selection.of:
        case MintedBy(token_id, _):
            return TOKENS.c.minter_id == token_id
        case WithMinted(token_id):
            return TOKENS.c.id == token_id
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
        yield cut_off_filter.issued_after_cut_off(connection, selection.of.org)


def _minted_by(connection: Connection, ids: Sequence[str]) -> Iterator[Row[Any]]:
    for chunk in chunks(ids):
        yield from _rows(connection, in_list(connection, TOKENS.c.minter_id, chunk))


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> Iterator[Row[Any]]:
    # There may be a million rows: they are fetched in chunks, and a caller that stops early closes the query.
    with connection.execute(_minted(*conditions), execution_options={"yield_per": _CHUNK}) as rows:
        yield from rows


def _minted(*conditions: ColumnElement[bool]) -> Select[Any]:
    # Derived tokens are left out: they are revoked with their minted tokens.
    return select(*_COLUMNS).where(TOKENS.c.lineage.is_(None), *conditions)
