"""One SQLite file: who may write when, and what its failures mean. All that is SQLite's own is here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psutil
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool, StaticPool

from almond_server.adapters.sql.database import run
from almond_server.errors import StartError, StoreExchangedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Engine

    from almond_server.adapters.sql.database import Observe

T = TypeVar("T")

_BUSY_SECONDS: Final = 2.0
_TRY_SECONDS: Final = 0.003
_WRITE: Final = "BEGIN IMMEDIATE"
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF")

# fmt: off
_NETWORK_FILE_SYSTEMS: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.davfs2",
    "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs",
    "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb2", "smb3", "smbfs",
    "virtiofs",
})
# fmt: on


class Sqlite:
    """Implements `database.Database`: writes on one connection and thread, reads and looks on others.

    A write begins IMMEDIATE, so that it never fails half-way for a lock, and once begun it finishes even if
    the caller is cancelled. Every failure of the database becomes `StoreUnavailableError`.
    """

    def __init__(self, path: Path, observe: Observe | None = None) -> None:
        """Open the file, which must exist."""
        self._observe = observe
        self._file = _File(path)
        self._writing = _engine(path, _WRITE)
        self._reading = _engine(path, "BEGIN")
        self._writer = ThreadPoolExecutor(1, "almond-store-write")
        self._reading_now = _engine(path, "BEGIN")
        self._reader = ThreadPoolExecutor(1, "almond-store-read")
        self._urgent_reader = ThreadPoolExecutor(1, "almond-store-now")

    async def write(self, operation: str, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that is durable when this returns."""
        return await self._run(operation, self._writer, self._writing, work)

    async def read(self, operation: str, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent state of the database."""
        return await self._run(operation, self._reader, self._reading, work)

    async def read_now(self, operation: str, work: Callable[[Connection], T]) -> T:
        """Run `work` as `read` does, without waiting for any `read` to end."""
        return await self._run(operation, self._urgent_reader, self._reading_now, work)

    async def close(self) -> None:
        """Finish what has begun and close the file."""
        for executor, engine in (
            (self._writer, self._writing),
            (self._reader, self._reading),
            (self._urgent_reader, self._reading_now),
        ):
            await asyncio.get_running_loop().run_in_executor(executor, engine.dispose)
            executor.shutdown()

    async def _run(
        self, operation: str, thread: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], T]
    ) -> T:
        return await run(thread, partial(_transact, engine, work, self._file), operation, self._observe)


def create_file(path: Path) -> None:
    """Create an empty file that only this user can read, unless there is one.

    SQLite gives its side files the same mode. Raises `StartError` where none can be made.
    """
    if path.exists():
        return
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _make(made)
    try:
        with closing(sqlite3.connect(made)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # kept in the file; later it would need it alone
        with contextlib.suppress(FileExistsError):  # somebody else was faster
            path.hardlink_to(made)
    finally:
        made.unlink()


def backup(path: Path, target: Path) -> None:
    """Copy the database as it is at this moment; others may go on. Raises `StartError` if it cannot be."""
    if not path.exists():
        raise StartError(f"There is no store at {path}.")
    if target.exists():
        raise StartError(f"{target} exists already.")
    _make(target)
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            # Of no epoch: no server serves it before `almond store restored` has begun one.
            copy.execute("UPDATE store SET epoch = ''")
            copy.commit()
    except sqlite3.Error as error:
        target.unlink()
        raise StartError(f"The store at {path} could not be copied ({error}).") from None


def _make(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StartError(f"No file can be made in {path.parent}: {error.strerror}.") from None


def location(path: Path) -> URL:
    """Name the file to SQLAlchemy, whatever characters its path has."""
    return URL.create("sqlite", database=str(path))


def migrating(path: Path) -> Engine:
    """Return an engine for one transaction over the schema, which no other such one overlaps."""
    # The driver would begin late and commit before DDL: a migration must be one transaction.
    return _engine(path, _WRITE, ())


def require_local_file_system(path: Path) -> None:
    """Raise `StartError` if the file is on a network file system, where locks and syncs are not kept."""
    mounts = [(each.mountpoint, each.fstype) for each in psutil.disk_partitions(all=True)]
    found = network_file_system(path.resolve(), mounts)
    if found is not None:
        raise StartError(
            f"{path} is on a network file system ({found}), on which SQLite can lose what it acknowledged: "
            "put the data directory on a local disk, or use PostgreSQL."
        )


def network_file_system(path: Path, mounts: Iterable[tuple[str, str]]) -> str | None:
    """Return the type of the network file system that an absolute path is on; None if it is on another.

    `mounts` are (mount point, type) in the order of mounting: a later one hides an earlier of its place.
    """
    depth, found = -1, ""
    for point, kind in mounts:
        place = Path(point)
        if path.is_relative_to(place) and len(place.parts) >= depth:
            depth, found = len(place.parts), kind.lower()
    return found if found in _NETWORK_FILE_SYSTEMS else None


class _File:
    """The file as it was opened. One that was deleted or exchanged since would take writes into nowhere."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = self._look()

    def require_same_file(self) -> None:
        if self._look() != self._opened:
            raise StoreExchangedError(
                "The store's file was deleted or exchanged while this server ran. If it is the very same "
                "file, put it back and restart. If it is a backup, stop all servers and follow "
                "ops/RESTORE.md."
            )

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _transact(engine: Engine, work: Callable[[Connection], T], file: _File) -> T:
    try:
        with engine.begin() as connection:
            result = work(connection)
            file.require_same_file()  # before the commit: what cannot last is not acknowledged
            return result
    except DBAPIError as error:
        # The driver's own words name no value; SQLAlchemy's would hold the statement's parameters.
        why = f"{type(error.orig).__name__}: {error.orig}"
        raise StoreUnavailableError(f"The store did not take it, and nothing was changed ({why}).") from None


def _engine(path: Path, begin: str, pragmas: tuple[str, ...] = _PRAGMAS) -> Engine:
    writes = begin == _WRITE
    engine = create_engine(
        location(path),
        poolclass=StaticPool if pragmas else NullPool,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": _TRY_SECONDS if writes else _BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, record: Any) -> None:
        del record
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        deadline = time.monotonic() + (_BUSY_SECONDS if writes else 0)
        while not _begins(connection, begin, last_try=time.monotonic() >= deadline):
            pass

    return engine


def _begins(connection: Connection, begin: str, *, last_try: bool) -> bool:
    # SQLite waits longer and longer between its own tries: a process that writes all the time would starve
    # this one. Tries of a few milliseconds find the moment between two of its transactions.
    try:
        connection.exec_driver_sql(begin)
    except OperationalError as error:
        if last_try or getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
