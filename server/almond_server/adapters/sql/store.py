"""Opens a store: all ports of `domain.stores` on one database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from almond_server.adapters.sql import schema
from almond_server.adapters.sql.audit import SqlAudit
from almond_server.adapters.sql.database import Database, Location
from almond_server.adapters.sql.keys import SqlKeys
from almond_server.adapters.sql.policies import SqlPolicies
from almond_server.adapters.sql.revocations import SqlRevocations
from almond_server.adapters.sql.rotations import SqlRotations
from almond_server.adapters.sql.sqlite import Sqlite
from almond_server.adapters.sql.tokens import SqlTokens

if TYPE_CHECKING:
    from almond_server.adapters.sql.database import Observe


@dataclass(frozen=True, slots=True)
class Store:
    """All ports on one database."""

    database: Database
    tokens: SqlTokens
    revocations: SqlRevocations
    rotations: SqlRotations
    keys: SqlKeys
    policies: SqlPolicies
    audit: SqlAudit

    async def close(self) -> None:
        """Finish the transactions that have begun, and close the database."""
        await self.database.close()


def open_store(location: Location, observe: Observe | None = None) -> Store:
    """Open a database; raises `StartError` unless it has exactly this program's schema.

    `observe` is called with the operation and the seconds of each transaction (`database.py`).
    """
    schema.check(location)
    database = _database(location, observe)
    revocations = SqlRevocations(database)
    return Store(
        database,
        SqlTokens(database),
        revocations,
        SqlRotations(database, revocations),
        SqlKeys(database),
        SqlPolicies(database),
        SqlAudit(database),
    )


def _database(location: Location, observe: Observe | None) -> Database:
    if not isinstance(location, str):
        return Sqlite(location, observe)
    from almond_server.adapters.sql.postgres import Postgres  # noqa: PLC0415 - its driver is slow to load

    return Postgres(location, observe)
