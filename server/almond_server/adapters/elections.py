"""Elections of the relay: a lock on a file, an advisory lock in PostgreSQL, and one in memory for tests.

Both locks go with the process that holds them, however it ends; PostgreSQL's also with the connection, and
when the process is paused.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from almond_server.adapters.sql import locks

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from almond_server.adapters.sql.database import Location
    from almond_server.domain.feed import Election


_WORK_SECONDS: Final = 3.0
"""What a relay's work takes at most, unless something is slow; then another may as well be it."""


def election(location: Location, data_dir: Path, turn_seconds: float) -> Election:
    """Return the election for the servers on a store: those on an SQLite file share its directory.

    A relay asks whether it still is one every `turn_seconds`, and what its work takes.
    """
    if isinstance(location, Path):
        return FileElection(data_dir / "relay.lock")
    return PostgresElection(location, turn_seconds)


class FileElection:
    """Implements `fan_out.Election` among the processes of one machine."""

    def __init__(self, path: Path) -> None:
        """Take the file to lock; it is made if it is not there."""
        self._path = path
        self._file: int | None = None

    async def is_won(self) -> bool:
        """Try to lock the file, if it is not locked by this one already."""
        if self._file is not None:
            return True
        try:
            opened = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # whoever opens many connections uses up the files that this process may have
            return False
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(opened)
            return False
        self._file = opened
        return True

    async def resign(self) -> None:
        """Unlock the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class PostgresElection:
    """Implements `fan_out.Election` among the sessions of one database, with a connection of its own."""

    def __init__(self, url: str, turn_seconds: float) -> None:
        """Take where the database is, and how often a relay asks; nothing is connected yet.

        The database itself releases the lock of one that asks no more, though its connection stands.
        """
        from almond_server.adapters.sql import postgres  # noqa: PLC0415 - its driver is slow to load

        self._engine = postgres.holding(url, turn_seconds + _WORK_SECONDS)
        self._session: Connection | None = None
        self._thread = ThreadPoolExecutor(1, "almond-election")

    async def is_won(self) -> bool:
        """Try to take the lock, or see that the session which holds it is alive."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._stand)

    async def resign(self) -> None:
        """End the session that holds the lock."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)

    def _stand(self) -> bool:
        try:
            if self._session is not None:
                self._session.execute(select(1))
                return True
            session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if session.scalar(select(func.pg_try_advisory_lock(locks.RELAY))):
                self._session = session
            else:
                session.close()
        except DBAPIError:
            self._end()
        return self._session is not None

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()
            session.close()


class MemoryElection:
    """Implements `fan_out.Election` among those made of one `box`, an empty list that they share."""

    def __init__(self, box: list[object]) -> None:
        """Take the box; who is in it is the relay."""
        self._box = box

    async def is_won(self) -> bool:
        """Get into the box if it is empty."""
        if not self._box:
            self._box.append(self)
        return self._box[0] is self

    async def resign(self) -> None:
        """Get out of the box."""
        if self in self._box:
            self._box.remove(self)
