"""The sealed keys of the key ring, in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, insert, select

from almond_server.adapters.sql import audit, locks
from almond_server.adapters.sql.tables import KEYS
from almond_server.domain.stores import AuditRow, SealedKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.adapters.sql.database import Database
    from almond_server.domain.stores import Actor


class SqlKeys:
    """Implements `stores.Keys`."""

    def __init__(self, database: Database) -> None:
        """Store keys in a database."""
        self._database = database

    async def add(self, key: SealedKey, actor: Actor, now: int) -> None:
        """Add a key to the ring."""

        def work(connection: Connection) -> None:
            locks.exclude(connection, locks.REVOCATIONS)
            position = connection.scalar(select(func.coalesce(func.max(KEYS.c.position), 0))) or 0
            connection.execute(
                insert(KEYS).values(
                    id=key.key_id, sealed=key.sealed, created_at=key.created_at, position=position + 1
                )
            )
            audit.write(connection, AuditRow(now, actor.name, "key.added", key.key_id, "", 0))

        await self._database.write("keys.add", work)

    async def all(self) -> Sequence[SealedKey]:
        """Return all keys, oldest first."""

        def work(connection: Connection) -> list[SealedKey]:
            rows = connection.execute(select(KEYS).order_by(KEYS.c.position))
            return [SealedKey(row.id, row.sealed, row.created_at) for row in rows]

        return await self._database.read("keys.all", work)
