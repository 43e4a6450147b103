"""The time of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, cast, extract, func, select

if TYPE_CHECKING:
    from sqlalchemy import Connection


def seconds(connection: Connection, now: int) -> int:
    """Return the time in unix seconds: PostgreSQL's own clock, or `now` for SQLite, which has no clock.

    Servers on several machines need one common clock; an SQLite file is used on one machine only.
    """
    if connection.dialect.name != "postgresql":
        return now
    clock = cast(func.floor(extract("epoch", func.clock_timestamp())), BigInteger)
    return int(connection.scalar(select(clock)) or 0)
