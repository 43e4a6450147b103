"""Election of the relay by an advisory lock in PostgreSQL.

The lock is released when the connection breaks, when the process that holds it ends for any reason, and when
that process is paused.
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
"""How long one round of the relay's work takes at most. If it takes longer, another server may be elected."""


class PostgresElection:
    """Implements `feed.Election` among the sessions of one database, with a connection of its own."""

    def __init__(self, url: str, round_seconds: float) -> None:
        """Prepare for a database; nothing is connected yet.

        `round_seconds` is the time between two calls of `is_won`. The database itself releases the lock of a
        server that stops calling it, even if its connection stays open.
        """
        from almond_server.adapters.sql import postgres  # noqa: PLC0415 - its driver is slow to load

        self._engine = postgres.for_lock(url, round_seconds + _WORK_SECONDS)
        self._session: Connection | None = None
        self._thread = ThreadPoolExecutor(1, "almond-election")

    async def is_won(self) -> bool:
        """Try to take the lock; if this server holds it, check that its session is alive."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._try_lock)

    async def resign(self) -> None:
        """End the session that holds the lock."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end_session)

    def _try_lock(self) -> bool:
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
            self._end_session()
        return self._session is not None

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()
            session.close()
