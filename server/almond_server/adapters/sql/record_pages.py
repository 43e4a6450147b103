"""Lists records, newest first: an index serves each page, and what a page reads is bounded."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)

from almond_core.model import RESERVED_ORG
from almond_server.adapters.sql import cut_off_filter, minters
from almond_server.adapters.sql.array_params import in_list
from almond_server.adapters.sql.record_rows import record_of
from almond_server.adapters.sql.tables import TEXT, TOKENS
from almond_server.domain.records import USE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almond_server.domain.records import Record
    from almond_server.domain.selections import Listing, RecordFilter
    from almond_server.domain.stores import Position

_MAX_CLOCK_DIFFERENCE_MS: Final = 60_000
"""By another server's clock, a derived token may be recorded "before" the token that it derives from."""

_COLUMNS: Final = TOKENS.c
_NEWEST_FIRST: Final = (_COLUMNS.created_at_ms.desc(), _COLUMNS.id.desc())


def page(
    connection: Connection, listing: Listing, after: Position | None, limit: int, to: Position | None
) -> list[Record]:
    """Return up to `limit` records of a listing after `after`, none after `to`, newest first."""
    conditions = [*_between(after, to), *_filtered(listing.filter)]
    if not listing.show_all:
        conditions += _live(connection, listing)
    scopes = _scopes(listing)
    if listing.mine is not None:
        # A condition on the org would make SQLite read all of the org.
        own = minters.below(connection, listing.mine, _orgs(listing), listing.app)
        scopes = [in_list(connection, _COLUMNS.token_id, own)]
    rows = chain.from_iterable(
        connection.execute(_ordered(select(TOKENS), scope, conditions, limit)) for scope in scopes
    )
    records = sorted(map(record_of, rows), key=lambda each: each.position, reverse=True)
    return cut_off_filter.as_read(connection, records[:limit])


def nth(connection: Connection, listing: Listing, after: Position | None, n: int) -> Position | None:
    """Return the position of the n-th record after `after` of the listing's org and app; None if fewer."""
    columns = (_COLUMNS.created_at_ms, _COLUMNS.id)
    parts = [
        select(_ordered(select(*columns), scope, list(_between(after, None)), n).subquery())
        for scope in _scopes(listing)
    ]
    merged = union_all(*parts).subquery()
    newest_first = (merged.c.created_at_ms.desc(), merged.c.id.desc())
    row = connection.execute(select(merged).order_by(*newest_first).offset(n - 1).limit(1)).one_or_none()
    return None if row is None else (row.created_at_ms, row.id)


def _ordered(
    statement: Select[Any], scope: ColumnElement[bool], conditions: list[ColumnElement[bool]], limit: int
) -> Select[Any]:
    return statement.where(scope, *conditions).order_by(*_NEWEST_FIRST).limit(limit)


def _scopes(listing: Listing) -> list[ColumnElement[bool]]:
    """Return the conditions of the listing's orgs, one each: within one org, an index gives the order."""
    of_orgs = [_COLUMNS.org == org for org in _orgs(listing)]
    return of_orgs if listing.app is None else [each & (_COLUMNS.app == listing.app) for each in of_orgs]


def _orgs(listing: Listing) -> tuple[str, ...]:
    """Return the home orgs of the listing's records; none for any."""
    if not listing.org:
        return ()
    # Tokens of several orgs have no home org; they are listed with those of the reserved org.
    return (listing.org, "") if listing.org == RESERVED_ORG else (listing.org,)


def _between(after: Position | None, to: Position | None) -> Iterator[ColumnElement[bool]]:
    # Compared as wholes, which an index serves: with OR, SQLite would read every newer record again. The time
    # alone is compared too, for PostgreSQL's estimate: it does not see that two wholes bound a range.
    created_at_ms, position = _COLUMNS.created_at_ms, tuple_(_COLUMNS.created_at_ms, _COLUMNS.id)
    if after is not None:
        yield and_(position < _literal(after), created_at_ms <= after[0])
    if to is not None:
        yield and_(position >= _literal(to), created_at_ms >= to[0])


def _literal(position: Position) -> ColumnElement[Any]:
    created_at_ms, record_id = position
    return tuple_(literal(created_at_ms, BigInteger), literal(record_id, TEXT))


def _filtered(wanted: RecordFilter) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a filter; `RecordFilter.matches` is the rule."""
    for column, value in (
        (_COLUMNS.kind, wanted.kind),
        (_COLUMNS.name, wanted.name),
        (_COLUMNS.subject, wanted.subject),
    ):
        if value:
            yield column == value
    if wanted.minted_by:
        yield (_COLUMNS.minter_id == wanted.minted_by) & _COLUMNS.lineage.is_(None)
    if wanted.expires_before is not None:
        yield _COLUMNS.expires_at < wanted.expires_before
    if wanted.unused_since is not None:
        yield _COLUMNS.created_at_ms < wanted.unused_since * 1000
        unused = _COLUMNS.last_used_at + USE_SECONDS <= wanted.unused_since
        yield or_(_COLUMNS.last_used_at.is_(None), unused)


def _live(connection: Connection, listing: Listing) -> list[ColumnElement[bool]]:
    is_late = cut_off_filter.issued_after_cut_off(connection, listing.org, _MAX_CLOCK_DIFFERENCE_MS)
    is_not_expired = or_(_COLUMNS.expires_at.is_(None), _COLUMNS.expires_at > listing.now)
    return [is_late, _COLUMNS.revoked_at.is_(None), is_not_expired, ~cut_off_filter.is_cut_off()]
