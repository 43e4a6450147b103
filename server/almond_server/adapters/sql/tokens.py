"""The records of minted and derived tokens, in SQL."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Select, and_, insert, or_, select, update

from almond_core.model import RESERVED_ORG
from almond_server.adapters.sql import (
    audit,
    cut_off_filter,
    cut_offs,
    idempotency,
    locks,
    minters,
    selections,
)
from almond_server.adapters.sql.array_params import in_list
from almond_server.adapters.sql.record_rows import record_of, values_of
from almond_server.adapters.sql.tables import REVOCATIONS, TOKENS
from almond_server.domain import cut_off_rules
from almond_server.domain.records import MAX_DERIVED, Record, record_id
from almond_server.domain.stores import AuditRow
from almond_server.errors import (
    MinterRevokedError,
    RecordNotFoundError,
    TooManyDerivedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from almond_server.adapters.sql.database import Database
    from almond_server.domain.minters import Minter
    from almond_server.domain.records import Use
    from almond_server.domain.selections import Listing, MintedBy, Selection
    from almond_server.domain.stores import Actor, Idempotency


_MAX_CLOCK_DIFFERENCE_MS: Final = 60_000
"""By another server's clock, a derived token may be recorded "before" the token that it derives from."""


class SqlTokens:
    """Implements `stores.Tokens`."""

    def __init__(self, database: Database) -> None:
        """Store records in a database."""
        self._database = database

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        """Record a minted token, as the port says."""

        def work(connection: Connection) -> Record:
            locks.share(connection, locks.REVOCATIONS)
            _refuse_revoked(connection, actor)
            earlier = idempotency.answered(connection, request, now)
            if earlier is not None:
                return _existing(connection, earlier)
            _refuse_too_early(connection, record, actor)
            connection.execute(insert(TOKENS).values(values_of(record)))
            idempotency.remember(connection, [(request, record.token_id)], now)
            audit.write(
                connection, AuditRow(now, actor.name, "token.minted", record.token_id, record.kind, 0)
            )
            return record

        return await self._database.write("tokens.add", work)

    async def answered(self, request: Idempotency, now: int) -> Record | None:
        """Return the record that `add` returned for a request, or None."""

        def work(connection: Connection) -> Record | None:
            earlier = idempotency.answered(connection, request, now)
            return None if earlier is None else _get(connection, earlier)

        return await self._database.write("tokens.answered", work)

    async def add_derived(self, record: Record, actor: Actor, now: int) -> Record:
        """Record a derived token, as the port says."""

        def work(connection: Connection) -> Record:
            locks.share(connection, locks.REVOCATIONS)
            _refuse_revoked(connection, actor)
            _refuse_lineage(connection, record.token_id, record.lineage)
            minted = _get(connection, record.token_id)
            if minted is not None and minted.revoked_at is not None:
                raise _revoked()
            standing = _get(connection, record.id)
            if standing is not None:
                return standing
            added = replace(record, parent=_parent(connection, record))
            connection.execute(insert(TOKENS).values(values_of(added)))
            audit.write(connection, AuditRow(now, actor.name, "token.registered", record.id, record.name, 0))
            return added

        return await self._database.write("tokens.add_derived", work)

    async def get(self, record_id: str) -> Record | None:
        """Return the record with that id, or None."""
        return await self._database.read("tokens.get", lambda connection: _get(connection, record_id))

    async def minters(self, token_id: str) -> Sequence[Minter]:
        """Return the minters of a token, nearest first."""
        return await self._database.read(
            "tokens.minters", lambda connection: minters.above(connection, token_id)
        )

    async def count_minted(self, minter: MintedBy, now: int) -> Mapping[tuple[str, str], int] | None:
        """Return how many live tokens it minted itself, by (org, app)."""
        return await self._database.read(
            "tokens.count_minted", lambda connection: minters.count(connection, minter, now)
        )

    async def select(self, selection: Selection, now: int, limit: int | None = None) -> Sequence[Record]:
        """Return the live records of a selection, newest first."""

        def work(connection: Connection) -> list[Record]:
            if limit is not None and not selection.is_recursive:
                ids = selections.newest_live(connection, selection, now, limit)
            else:
                ids = [row.id for row in selections.live(connection, selection, now)]
            rows = [row for chunk in selections.chunks(ids) for row in connection.execute(_of_ids(chunk))]
            found = sorted(map(record_of, rows), key=lambda each: (each.created_at_ms, each.id), reverse=True)
            return found[:limit]

        return await self._database.read("tokens.select", work)

    async def orgs_and_apps(self, selection: Selection, now: int) -> frozenset[tuple[str, str]]:
        """Return the (org, app) of the live records of a selection."""

        def work(connection: Connection) -> frozenset[tuple[str, str]]:
            beyond = selections.beyond_cut_off(connection, selection, now)
            return selections.orgs_and_apps(connection, selection, now, beyond)

        return await self._database.read("tokens.places", work)

    async def record_last_used(self, uses: Sequence[Use]) -> None:
        """Record when tokens were last used, some in each transaction."""
        last: dict[str, int] = {}
        for use in uses:
            for each in (use.token_id, *(record_id(use.token_id, branch) for branch in use.branch_ids)):
                last[each] = max(use.at, last.get(each, 0))
        ids_at: dict[int, list[str]] = {}
        for each, at in last.items():
            ids_at.setdefault(at, []).append(each)
        for at, ids in ids_at.items():
            for chunk in selections.chunks(ids):
                # The label that dashboards have always shown for this operation.
                await self._database.write("other", partial(_record_last_used, ids=chunk, at=at))

    async def page(self, listing: Listing, after: tuple[int, str] | None, limit: int) -> Sequence[Record]:
        """Return a page of records."""

        def work(connection: Connection) -> list[Record]:
            statement = _page(connection, listing, after).limit(limit)
            records = [record_of(row) for row in connection.execute(statement)]
            return cut_off_filter.as_read(connection, records)

        return await self._database.read("tokens.page", work)

    async def home_orgs(self, token_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the home orgs of tokens."""

        def work(connection: Connection) -> dict[str, str]:
            columns = (TOKENS.c.id, TOKENS.c.org)
            rows = (
                row
                for chunk in selections.chunks(token_ids)
                for row in connection.execute(select(*columns).where(TOKENS.c.id.in_(chunk)))
            )
            return {row.id: row.org for row in rows}

        return await self._database.read("tokens.home_orgs", work)


def _record_last_used(connection: Connection, ids: Sequence[str], at: int) -> None:
    # Waits for no other transaction, and none waits for it: a record that is being revoked is skipped.
    older = or_(TOKENS.c.last_used_at.is_(None), TOKENS.c.last_used_at < at)
    free = select(TOKENS.c.id).where(in_list(connection, TOKENS.c.id, ids), older)
    locked = free.with_for_update(skip_locked=True)
    connection.execute(update(TOKENS).where(TOKENS.c.id.in_(locked)).values(last_used_at=at))


def _refuse_revoked(connection: Connection, actor: Actor) -> None:
    if not actor.token_id:
        return
    _refuse_lineage(connection, actor.token_id, actor.branch_ids)
    targets = cut_off_rules.targets_of_actor(actor)
    if cut_off_rules.is_stopped(actor, cut_offs.highest_of(connection, targets)):
        raise _revoked()


def _refuse_too_early(connection: Connection, record: Record, actor: Actor) -> None:
    targets = cut_off_rules.targets_of_new_record(record, actor)
    cut_off_rules.check_issue_time(record, actor, cut_offs.highest_of(connection, targets))


def _refuse_lineage(connection: Connection, token_id: str, branch_ids: tuple[bytes, ...]) -> None:
    lineage = (b"", *branch_ids)
    found = connection.execute(
        select(REVOCATIONS.c.token_id)
        .where(REVOCATIONS.c.token_id == token_id, REVOCATIONS.c.branch_id.in_(lineage))
        .limit(1)
    ).first()
    if found is not None:
        raise _revoked()


def _revoked() -> MinterRevokedError:
    return MinterRevokedError(
        "The token that this was to be made from has been revoked; ask for another one."
    )


def _get(connection: Connection, record_id: str) -> Record | None:
    row = connection.execute(select(TOKENS).where(TOKENS.c.id == record_id)).one_or_none()
    return None if row is None else cut_off_filter.as_read(connection, [record_of(row)])[0]


def _existing(connection: Connection, record_id: str) -> Record:
    record = _get(connection, record_id)
    if record is None:
        message = "the record that was returned for a request no longer exists"
        raise LookupError(message)
    return record


def _of_ids(ids: Sequence[str]) -> Select[Any]:
    return select(TOKENS).where(TOKENS.c.id.in_(ids))


def _parent(connection: Connection, record: Record) -> str:
    """Return the id of the nearest ancestor that has a record.

    Raises `RecordNotFoundError` if the minted token has none, `TooManyDerivedError` if there is no room.
    """
    recorded = set(connection.scalars(select(TOKENS.c.id).where(TOKENS.c.token_id == record.token_id)))
    if record.token_id not in recorded:
        raise RecordNotFoundError("The token that it derives from was not minted here.")
    if len(recorded) > MAX_DERIVED:
        raise TooManyDerivedError(
            f"{MAX_DERIVED} derived tokens of this token are registered, which is the maximum; "
            "narrow without registering, or mint a token for the purpose."
        )
    lineage = [record_id(record.token_id, each) for each in record.lineage[:-1]]
    return next((each for each in reversed(lineage) if each in recorded), record.token_id)


def _page(connection: Connection, listing: Listing, after: tuple[int, str] | None) -> Select[Any]:
    columns = TOKENS.c
    # Tokens of several orgs have no home org; they are listed with those of the reserved org.
    orgs = (listing.org, "") if listing.org == RESERVED_ORG else (listing.org,)
    statement = select(TOKENS)
    if listing.mine is not None:
        # A condition on the org would make SQLite read all of the org.
        own = minters.below(connection, listing.mine, orgs if listing.org else (), listing.app)
        statement = statement.where(in_list(connection, columns.token_id, own))
    else:
        statement = statement.where(columns.org.in_(orgs))
        if listing.app is not None:
            statement = statement.where(columns.app == listing.app)
    if not listing.show_all:
        is_not_expired = or_(columns.expires_at.is_(None), columns.expires_at > listing.now)
        is_late = cut_off_filter.issued_after_cut_off(connection, listing.org, _MAX_CLOCK_DIFFERENCE_MS)
        statement = statement.where(
            is_late, columns.revoked_at.is_(None), is_not_expired, ~cut_off_filter.is_cut_off()
        )
    if after is not None:
        created, token_id = after
        same = and_(columns.created_at_ms == created, columns.id < token_id)
        statement = statement.where(or_(columns.created_at_ms < created, same))
    return statement.order_by(columns.created_at_ms.desc(), columns.id.desc())
