"""The one row about the store itself: its epoch, its newest revision, the highest time it has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from almond_server.adapters.sql.tables import meta
from almond_server.ports import Reading

if TYPE_CHECKING:
    from sqlalchemy import Connection


def read(connection: Connection) -> Reading:
    """Read the row. Its time is what was last kept, which lags behind."""
    row = connection.execute(select(meta.c.epoch, meta.c.revision, meta.c.clock)).one()
    return Reading(row.epoch, row.revision, row.clock)


def keep_time(connection: Connection, now: int) -> None:
    """Raise the kept time to `now` in unix seconds; never lower it."""
    connection.execute(update(meta).where(meta.c.clock < now).values(clock=now))


def next_revision(connection: Connection) -> int:
    """Count the revision up and return it: once a transaction, and as late in it as can be.

    Whoever counts up next waits for this transaction, so that revisions follow the order of commits.
    """
    counted = update(meta).values(revision=meta.c.revision + 1).returning(meta.c.revision)
    return int(connection.execute(counted).scalar_one())
