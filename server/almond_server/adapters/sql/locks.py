"""Who waits for whom on PostgreSQL: advisory locks, held to the end of the transaction that takes them.

On SQLite these functions do nothing: a write has the whole database to itself (BEGIN IMMEDIATE).

Taken as the first statement, so that every later one sees, under READ COMMITTED, all that was committed by
whom it waited for. The order is always `REVOCATIONS`, then another: so nobody waits in a circle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

if TYPE_CHECKING:
    from sqlalchemy import Connection

REVOCATIONS: Final = 0x616C6D6F6E640001  # "almond", 1
"""Exclusive for what revokes and for the small tables; shared for what a revocation must not overtake.

So a token is either recorded before its minter is revoked, or its recording sees that and is refused.
"""

RELAY: Final = 0x616C6D6F6E640004
"""Held by the session of the server that is the relay, for as long as it is."""

MIGRATION: Final = 0x616C6D6F6E640003
"""Exclusive for a migration."""


def exclude(connection: Connection, lock: int) -> None:
    """Wait until nobody holds the lock, and hold it alone."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(lock)))


def share(connection: Connection, lock: int) -> None:
    """Wait until nobody holds the lock alone, and hold it with others."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock_shared(lock)))
