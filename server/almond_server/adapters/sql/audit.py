"""The audit log in SQL."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, insert, select

from almond_server.adapters.sql.array_params import in_list
from almond_server.adapters.sql.tables import AUDIT, TOKENS
from almond_server.domain import audit_targets
from almond_server.domain.stores import AuditEntry, AuditRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.adapters.sql.database import Database


class SqlAudit:
    """Implements `stores.Audit`."""

    def __init__(self, database: Database) -> None:
        """Read from a database."""
        self._database = database

    async def newest(self, limit: int) -> Sequence[AuditRow]:
        """Return the newest `limit` rows."""
        statement = select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
        return await self._database.read(
            "audit.newest", lambda connection: [_row(row) for row in connection.execute(statement)]
        )

    async def page(self, after: int, limit: int) -> Sequence[AuditEntry]:
        """Return a page of entries, oldest first."""
        statement = select(AUDIT).where(AUDIT.c.seq > after).order_by(AUDIT.c.seq).limit(limit)

        def work(connection: Connection) -> list[AuditEntry]:
            rows = [(row.seq, _row(row)) for row in connection.execute(statement)]
            ids = {each for _, row in rows for each in audit_targets.record_ids(row)}
            named = _named(connection, sorted(ids))
            return [audit_targets.entry(seq, row, named) for seq, row in rows]

        return await self._database.read("audit.page", work)


def _named(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    columns = (TOKENS.c.id, TOKENS.c.org, TOKENS.c.app, TOKENS.c.name)
    statement = select(*columns).where(in_list(connection, TOKENS.c.id, ids))
    return {row.id: (row.org, row.app, row.name) for row in connection.execute(statement)}


def _row(row: Row[Any]) -> AuditRow:
    return AuditRow(row.at, row.actor, row.action, row.target, row.detail, row.revision)


def write(connection: Connection, row: AuditRow) -> None:
    """Write a row, in the transaction that does what the row says."""
    connection.execute(insert(AUDIT).values(asdict(row)))
