"""A PostgreSQL database: its sessions, its transactions, and what its failures mean."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool, QueuePool

from almond_server.adapters.sql import causes, postgres_tls, postgres_url
from almond_server.adapters.sql.causes import Cause
from almond_server.adapters.sql.database import run
from almond_server.errors import StartError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg.abc import PQGen
    from sqlalchemy import URL, Engine

    from almond_server.adapters.sql.database import Observe

T = TypeVar("T")
RV = TypeVar("RV")

_WRITERS: Final = 3
_READERS: Final = 2
_URGENT_READERS: Final = 1
_POOL_SECONDS: Final = 2.0
# A little above `statement_timeout`, which a server that is alive enforces itself.
_SILENCE_SECONDS: Final = 5.5

_SESSION: Final = {
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "2000",
    "statement_timeout": "5000",
    "idle_in_transaction_session_timeout": "3000",
}
_MIGRATION: Final = {"synchronous_commit": "on", "lock_timeout": "60000"}
_NETWORK: Final = {
    "application_name": "almond",
    "client_encoding": "utf8",
    "connect_timeout": 2,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}

_FAILURE: Final = re.compile(
    r"connection to server (?:at|on socket) (?P<host>.+?) failed: (?:FATAL: +)?(?P<words>.+)"
    r"|(?P<unnamed>failed to resolve host .+|connection timeout expired)"
)
"""What libpq and its driver say of one host, in a message about all that were tried."""


class Postgres:
    """Implements `database.Database` on a bounded pool of sessions. Writes and reads have their own threads.

    Writes are READ COMMITTED and take the locks of `locks.py`; reads are REPEATABLE READ and READ ONLY.
    Broken sessions are replaced, so PostgreSQL may restart. A session that does not answer is closed.
    """

    def __init__(self, url: str, observe: Observe | None = None) -> None:
        """Prepare sessions with the database at `url`; nothing is connected yet."""
        self._observe = observe
        self._writing = _engine(
            url,
            _SESSION,
            poolclass=QueuePool,
            pool_size=_WRITERS + _READERS + _URGENT_READERS,
            max_overflow=0,
            pool_timeout=_POOL_SECONDS,
            pool_pre_ping=True,
        )
        _limit_silence(self._writing)
        self._reading = self._writing.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        # Separate threads: writes that wait for a lock must not delay the reads that prove the view.
        self._writers = ThreadPoolExecutor(_WRITERS, "almond-store-write")
        self._readers = ThreadPoolExecutor(_READERS, "almond-store-read")
        self._urgent_reader = ThreadPoolExecutor(_URGENT_READERS, "almond-store-now")

    async def write(self, operation: str, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that is durable when this returns."""
        transact = partial(_transact, self._writing, work)
        return await run(self._writers, transact, operation, self._observe)

    async def read(self, operation: str, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent state of the database."""
        transact = partial(_transact, self._reading, work)
        return await run(self._readers, transact, operation, self._observe)

    async def read_now(self, operation: str, work: Callable[[Connection], T]) -> T:
        """Run `work` as `read` does, without waiting for any `read` to end."""
        transact = partial(_transact, self._reading, work)
        return await run(self._urgent_reader, transact, operation, self._observe)

    async def close(self) -> None:
        """Finish the transactions that have begun, and close the sessions."""
        for executor in (self._writers, self._readers, self._urgent_reader):
            await asyncio.to_thread(executor.shutdown)
        await asyncio.to_thread(self._writing.dispose)


def for_migration(url: str) -> Engine:
    """Return an engine for one transaction that changes the schema, which may take long."""
    return _engine(url, _MIGRATION, poolclass=NullPool)


def for_one_read(url: str) -> Engine:
    """Return an engine for a single short read."""
    engine = _engine(url, _SESSION, poolclass=NullPool)
    _limit_silence(engine)
    return engine


def for_lock(url: str, idle_seconds: float) -> Engine:
    """Return an engine for sessions that hold a lock.

    The database ends a session that was not used for `idle_seconds`: its holder is paused or cut off.
    """
    settings = {**_SESSION, "idle_session_timeout": str(max(1, round(idle_seconds * 1000)))}
    engine = _engine(url, settings, poolclass=NullPool)
    _limit_silence(engine)
    return engine


def require_session_settings(connection: Connection, url: str) -> None:
    """Raise `StartError` if a session does not have the settings that it was opened with.

    A pooler in transaction mode drops them. What was acknowledged would then be only as durable as the
    database's default.
    """
    for setting in ("synchronous_commit", "lock_timeout", "idle_in_transaction_session_timeout"):
        expected = _SESSION[setting]
        # PostgreSQL shows 2000 milliseconds as `2s`.
        if connection.exec_driver_sql(f"SHOW {setting}").scalar() not in {expected, f"{expected[:-3]}s"}:
            raise StartError(
                f"The store at {postgres_url.name(url)} does not keep `{setting}` for the length of a "
                f"session, as {causes.POOLED}."
            )


def is_exposed(url: str) -> bool:
    """Return whether sessions would cross a network without verified TLS."""
    return postgres_tls.is_exposed(postgres_url.parse(url))


def why(error: DBAPIError | PoolTimeoutError, url: URL) -> Cause:
    """Return the cause of an error of the database at `url`, without any parameter of a statement."""
    if not isinstance(error, DBAPIError):
        return Cause(causes.BUSY_POOL)
    state = error.orig.sqlstate if isinstance(error.orig, psycopg.Error) else None
    if isinstance(error.orig, psycopg.Error) and state is not None:
        words = error.orig.diag.message_primary or state
        return Cause(causes.of_postgres(state, words), postgres_url.without_secrets(words, url))
    return _why_not_connected(str(error.orig), url)


def _why_not_connected(message: str, url: URL) -> Cause:
    """Return the cause of a failed connection: of each host once, if several were tried."""
    failures = dict.fromkeys(
        (found["host"], found["words"] or found["unnamed"]) for found in _FAILURE.finditer(message)
    )
    # What libpq says of a parameter repeats its value, which may be a password: it is not shown.
    reasons = [words for _, words in failures] or [message]
    sentences = dict.fromkeys(causes.of_postgres(None, each) for each in reasons)
    shown = [f"{host}: {words}" if len(failures) > 1 and host else words for host, words in failures]
    return Cause("; ".join(sentences), postgres_url.without_secrets("; ".join(shown), url))


def _engine(url: str, session: Mapping[str, str], **pool: Any) -> Engine:
    parsed = postgres_url.parse(url)
    postgres_tls.check_tls_options(parsed)
    options = [f"-c {key}={value.replace(' ', chr(92) + ' ')}" for key, value in session.items()]
    network = {
        **_NETWORK,
        "target_session_attrs": postgres_url.session_attrs(parsed),
        # Of two values for a setting the later one counts, so the URL's own options cannot undo these.
        "options": " ".join([postgres_url.setting(parsed, "options"), *options]).strip(),
    }
    return create_engine(parsed, hide_parameters=True, connect_args=network, **pool)


class _ImpatientConnection(psycopg.Connection[Any]):
    """A connection that waits a limited time for each answer.

    TCP's own timeouts are not enough: the kernel of a host acknowledges packets even if the server is paused
    or its disk hangs.
    """

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, _SILENCE_SECONDS if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.info.transaction_status == TransactionStatus.ACTIVE:
                # A late answer would be taken for that of another statement.
                self.pgconn.finish()
            raise


def _limit_silence(engine: Engine) -> None:
    @event.listens_for(engine, "do_connect")
    def connect(dialect: object, record: object, args: Any, named: Any) -> psycopg.Connection[Any]:
        del dialect, record
        return _ImpatientConnection.connect(*args, **named)


def _transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    try:
        with engine.begin() as connection:
            return work(connection)
    except (DBAPIError, PoolTimeoutError) as error:
        # Whether anything was changed is unknown: the session may have broken during the commit.
        cause = why(error, engine.url)
        sentence = f"The store did not confirm it, as {cause.sentence}."
        raise StoreUnavailableError(sentence, words=cause.words) from None
