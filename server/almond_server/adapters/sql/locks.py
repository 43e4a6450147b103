"""Advisory locks, which decide the transactions that wait for others on PostgreSQL.

Rules:

* A lock is held until the transaction that takes it ends.
* It is taken by the first statement: under READ COMMITTED, all later ones then see what the transactions
  committed that this one waited for.
* `REVOCATIONS` is taken before any other lock, so there is no deadlock.
* On SQLite these functions do nothing: a write has the whole database to itself (BEGIN IMMEDIATE).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

if TYPE_CHECKING:
    from sqlalchemy import Connection

# The word "almond", then a number for each lock.
REVOCATIONS: Final = 0x616C6D6F6E640001
"""Exclusive for revocations and writes to the small tables; shared for recording tokens.

So a token is recorded before its minter is revoked, or recording it sees the revocation and is refused.
"""

RELAY: Final = 0x616C6D6F6E640004
"""Held by the session of the server that is the relay, while it is."""

MIGRATION: Final = 0x616C6D6F6E640003
"""Exclusive for migrations."""


def exclude(connection: Connection, lock: int) -> None:
    """Wait until no transaction holds the lock, and hold it alone."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(lock)))


def share(connection: Connection, lock: int) -> None:
    """Wait until no transaction holds the lock alone, and hold it together with others."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock_shared(lock)))
