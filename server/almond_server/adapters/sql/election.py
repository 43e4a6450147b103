"""Election of the relay by an advisory lock in PostgreSQL.

The lock goes with the connection, with the process that holds it however that ends, and when the process is
paused.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from almond_server.adapters.sql import locks

if TYPE_CHECKING:
    from sqlalchemy import Connection

_WORK_SECONDS: Final = 3.0
"""What a relay's work takes at most, unless something is slow; then another may as well be it."""


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
