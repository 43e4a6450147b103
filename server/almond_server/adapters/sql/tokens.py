"""The records of minted tokens, in SQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, and_, insert, or_, select

from almond_core.model import RESERVED_ORG
from almond_server.adapters.sql import audit, requests
from almond_server.adapters.sql.tables import TOKENS, WITHDRAWALS
from almond_server.errors import MinterWithdrawnError
from almond_server.ports import AuditRow, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.adapters.sql.database import Database
    from almond_server.ports import Actor, Idempotency, Listing

_BRANCH_BYTES = 16


class SqlTokens:
    """Implements `ports.Tokens`."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        """Record a token; what it may refuse and return is the port's."""

        def work(connection: Connection) -> Record:
            _refuse_withdrawn(connection, actor)
            before = requests.answered(connection, request, now)
            if before is not None:
                return _record(connection.execute(select(TOKENS).where(TOKENS.c.id == before)).one())
            connection.execute(insert(TOKENS).values(_values(record)))
            requests.remember(connection, request, record.token_id, now)
            audit.write(
                connection, AuditRow(now, actor.name, "token.minted", record.token_id, record.kind, 0)
            )
            return record

        return await self._database.write(work)

    async def get(self, token_id: str) -> Record | None:
        """Return one record."""

        def work(connection: Connection) -> Record | None:
            row = connection.execute(select(TOKENS).where(TOKENS.c.id == token_id)).one_or_none()
            return None if row is None else _record(row)

        return await self._database.read(work)

    async def page(self, listing: Listing, after: tuple[int, str] | None, limit: int) -> Sequence[Record]:
        """Return a page of records."""
        statement = _page(listing, after).limit(limit)

        def work(connection: Connection) -> list[Record]:
            return [_record(row) for row in connection.execute(statement)]

        return await self._database.read(work)


def _refuse_withdrawn(connection: Connection, actor: Actor) -> None:
    lineage = (b"", *actor.branch_ids)
    found = connection.execute(
        select(WITHDRAWALS.c.token_id)
        .where(WITHDRAWALS.c.token_id == actor.token_id, WITHDRAWALS.c.branch_id.in_(lineage))
        .limit(1)
    ).first()
    if found is not None:
        raise MinterWithdrawnError(
            "Your own token has been revoked; ask whoever gave it to you for a new one."
        )


def _page(listing: Listing, after: tuple[int, str] | None) -> Select[Any]:
    columns = TOKENS.c
    # Tokens of several orgs have no home org; they are listed with those of any org.
    orgs = (listing.org, "") if listing.org == RESERVED_ORG else (listing.org,)
    statement = select(TOKENS).where(columns.org.in_(orgs))
    if listing.app is not None:
        statement = statement.where(columns.app == listing.app)
    if not listing.show_all:
        alive = or_(columns.expires_at.is_(None), columns.expires_at > listing.now)
        statement = statement.where(columns.revoked_at.is_(None), alive)
    if after is not None:
        created, token_id = after
        same = and_(columns.created_at_ms == created, columns.id < token_id)
        statement = statement.where(or_(columns.created_at_ms < created, same))
    return statement.order_by(columns.created_at_ms.desc(), columns.id.desc())


def _values(record: Record) -> dict[str, Any]:
    return {
        "id": record.token_id,
        "key_id": record.key_id,
        "name": record.name,
        "kind": record.kind,
        "org": record.org,
        "app": record.app,
        "subject": record.subject,
        "minter_id": record.minter_token_id,
        "minter_branches": b"".join(record.minter_branch_ids),
        "created_at_ms": record.created_at_ms,
        "expires_at": record.expires_at,
        "caveats": json.dumps([raw.decode() for raw in record.caveats], ensure_ascii=False),
        "revoked_at": record.revoked_at,
        "revoked_by": record.revoked_by,
        "revoke_reason": record.revoke_reason,
    }


def _record(row: Row[Any]) -> Record:
    branches = row.minter_branches
    starts = range(0, len(branches), _BRANCH_BYTES)
    return Record(
        token_id=row.id,
        key_id=row.key_id,
        name=row.name,
        kind=row.kind,
        org=row.org,
        app=row.app,
        subject=row.subject,
        minter_token_id=row.minter_id,
        minter_branch_ids=tuple(branches[start : start + _BRANCH_BYTES] for start in starts),
        created_at_ms=row.created_at_ms,
        expires_at=row.expires_at,
        caveats=tuple(text.encode() for text in json.loads(row.caveats)),
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        revoke_reason=row.revoke_reason,
    )
