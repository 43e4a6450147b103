"""Selections of tokens, resolved through their records: an org's, an app's, a subject's, a minter's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from almond_server.adapters.sql import cut_off_filter
from almond_server.adapters.sql.array_params import in_list
from almond_server.adapters.sql.record_rows import branches_of
from almond_server.adapters.sql.tables import TOKENS
from almond_server.domain.cut_off_rules import home_orgs_counted
from almond_server.domain.revocations import CutOffTarget, Scope
from almond_server.domain.selections import MintedBy, OfApp, OfOrg, OfSubject, Selection

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

    What is over is followed all the same: a token may outlive the session that minted it.
    """
    if not selection.is_recursive:
        return _rows(connection, _belongs(selection), *_bounds(connection, selection), _is_live(now))
    return _followed(connection, _first_level(connection, selection), now)


def beyond_cut_off(connection: Connection, selection: Selection, now: int) -> Iterator[Row[Any]]:
    """Yield what `live` does, but of a selection with a cut-off not its first level, which may be a million.

    Of that, it yields what another one of it minted.
    """
    if selection.cut_off is None:
        return live(connection, selection, now)
    if not isinstance(selection.of, OfSubject):
        return iter(())
    own = TOKENS.alias("own")
    ids = select(own.c.id).where(own.c.subject == selection.of.subject, own.c.lineage.is_(None))
    if selection.issued_before_ms is not None:
        ids = ids.where(own.c.created_at_ms < selection.issued_before_ms)
    return _followed(connection, _rows(connection, TOKENS.c.minter_id.in_(ids)), now)


def orgs_and_apps(
    connection: Connection, selection: Selection, now: int, beyond: Iterable[Row[Any]]
) -> frozenset[tuple[str, str]]:
    """Return org and app of what `live` yields; `beyond` is what `beyond_cut_off` yielded."""
    found = {(row.org, row.app) for row in beyond}
    if selection.cut_off is not None:
        conditions = (_belongs(selection), *_bounds(connection, selection), _is_live(now))
        first = select(TOKENS.c.org, TOKENS.c.app).where(TOKENS.c.lineage.is_(None), *conditions)
        found.update((row.org, row.app) for row in connection.execute(first.distinct()))
    return frozenset(found)


def newest_live(connection: Connection, selection: Selection, now: int, limit: int) -> list[str]:
    """Return the ids of the newest `most` that `live` yields of a selection that is not recursive."""
    living = _minted(_belongs(selection), *_bounds(connection, selection), _is_live(now))
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
    """Cut ids into what one statement takes."""
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))


def _followed(connection: Connection, level: Iterable[Row[Any]], now: int) -> Iterator[Row[Any]]:
    found: set[str] = set()
    while True:
        newest: list[str] = []
        for row in level:
            if row.id in found:
                continue
            found.add(row.id)
            newest.append(row.id)
            is_over = row.expires_at is not None and row.expires_at <= now
            if row.revoked_at is None and not row.is_cut_off and not is_over:
                yield row
        if not newest:
            return
        level = _minted_by(connection, newest)


def _is_live(now: int) -> ColumnElement[bool]:
    lasting = or_(TOKENS.c.expires_at.is_(None), TOKENS.c.expires_at > now)
    return and_(TOKENS.c.revoked_at.is_(None), lasting, ~cut_off_filter.minted_is_cut_off())


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
        yield cut_off_filter.made_after(connection, selection.of.org)


def _minted_by(connection: Connection, ids: Sequence[str]) -> Iterator[Row[Any]]:
    for some in chunks(ids):
        yield from _rows(connection, in_list(connection, TOKENS.c.minter_id, some))


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> Iterator[Row[Any]]:
    # There may be a million: they come in parts, and whoever has enough lets go of the rest.
    with connection.execute(_minted(*conditions), execution_options={"yield_per": _CHUNK}) as rows:
        yield from rows


def _minted(*conditions: ColumnElement[bool]) -> Select[Any]:
    # Derived tokens are revoked with the minted ones they derive from.
    return select(*_COLUMNS).where(TOKENS.c.lineage.is_(None), *conditions)
