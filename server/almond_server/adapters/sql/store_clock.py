"""What time it is by the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, cast, extract, func, select

if TYPE_CHECKING:
    from sqlalchemy import Connection


def seconds(connection: Connection, told: int) -> int:
    """Return unix seconds: of PostgreSQL's own clock; of an SQLite file, which has none, what it was told.

    Servers on many machines need one clock to compare theirs with; an SQLite file has one machine.
    """
    if connection.dialect.name != "postgresql":
        return told
    now = connection.scalar(select(cast(func.floor(extract("epoch", func.clock_timestamp())), BigInteger)))
    return int(now or 0)
