"""The records of minted and derived tokens, in SQL."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, insert, or_, select, update

from almond_server.adapters.sql import (
    audit,
    cut_off_filter,
    cut_offs,
    idempotency,
    locks,
    record_pages,
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
    from almond_server.domain.records import Use
    from almond_server.domain.selections import Listing, Selection
    from almond_server.domain.stores import Actor, Idempotency, Position


class SqlTokens:
    """Implements `stores.Tokens`."""

    def __init__(self, database: Database) -> None:
        """Store records in a database."""
        self._database = database

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        """Record a minted token, as the port says."""

        def work(connection: Connection) -> Record:
            locks.share(connection, locks.REVOCATIONS)
            refuse_revoked(connection, actor)
            earlier = idempotency.answered(connection, request, now)
            if earlier is not None:
                return existing(connection, earlier)
            record_minted(connection, record, actor, now)
            idempotency.remember(connection, [(request, record.token_id)], now)
            return record

        return await self._database.write("tokens.add", work)

    async def answered(self, request: Idempotency, now: int) -> Record | None:
        """Return the record that `add` returned for a request, or None."""

        def work(connection: Connection) -> Record | None:
            earlier = idempotency.answered(connection, request, now)
            return None if earlier is None else find(connection, earlier)

        return await self._database.write("tokens.answered", work)

    async def add_derived(self, record: Record, actor: Actor, now: int) -> Record:
        """Record a derived token, as the port says."""

        def work(connection: Connection) -> Record:
            locks.share(connection, locks.REVOCATIONS)
            refuse_revoked(connection, actor)
            _refuse_lineage(connection, record.token_id, record.lineage)
            minted = find(connection, record.token_id)
            if minted is not None and minted.revoked_at is not None:
                raise _revoked()
            standing = find(connection, record.id)
            if standing is not None:
                return standing
            added = replace(record, parent=_parent(connection, record))
            connection.execute(insert(TOKENS).values(values_of(added)))
            audit.write(connection, AuditRow(now, actor.name, "token.registered", record.id, record.name, 0))
            return added

        return await self._database.write("tokens.add_derived", work)

    async def get(self, record_id: str) -> Record | None:
        """Return the record with that id, or None."""
        return await self._database.read("tokens.get", lambda connection: find(connection, record_id))

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

    async def page(
        self, listing: Listing, after: Position | None, limit: int, to: Position | None = None
    ) -> Sequence[Record]:
        """Return a page of records."""
        return await self._database.read(
            "tokens.page", lambda connection: record_pages.page(connection, listing, after, limit, to)
        )

    async def nth(self, listing: Listing, after: Position | None, n: int) -> Position | None:
        """Return the position of the n-th record after `after`."""
        return await self._database.read(
            "tokens.page", lambda connection: record_pages.nth(connection, listing, after, n)
        )

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


def refuse_revoked(connection: Connection, actor: Actor) -> None:
    """Raise `MinterRevokedError` if an actor is revoked, as `stores.Tokens.add` says."""
    if not actor.token_id:
        return
    _refuse_lineage(connection, actor.token_id, actor.branch_ids)
    targets = cut_off_rules.targets_of_actor(actor)
    if cut_off_rules.is_stopped(actor, cut_offs.highest_of(connection, targets)):
        raise _revoked()


def record_minted(connection: Connection, record: Record, actor: Actor, now: int) -> None:
    """Record a minted token and audit it; raises `IssuedTooEarlyError`, as `stores.Tokens.add` says."""
    targets = cut_off_rules.targets_of_new_record(record, actor)
    cut_off_rules.check_issue_time(record, actor, cut_offs.highest_of(connection, targets))
    connection.execute(insert(TOKENS).values(values_of(record)))
    audit.write(connection, AuditRow(now, actor.name, "token.minted", record.token_id, record.kind, 0))


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


def find(connection: Connection, record_id: str) -> Record | None:
    """Return the record with that id as it is read, or None."""
    row = connection.execute(select(TOKENS).where(TOKENS.c.id == record_id)).one_or_none()
    return None if row is None else cut_off_filter.as_read(connection, [record_of(row)])[0]


def existing(connection: Connection, record_id: str) -> Record:
    """Return the record with that id, which was there before: no record is ever deleted."""
    record = find(connection, record_id)
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
