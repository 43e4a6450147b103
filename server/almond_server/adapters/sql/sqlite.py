"""An SQLite database: its file, its transactions, and what its failures mean."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import sqlite3
import tempfile
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

from almond_server.adapters.sql import causes
from almond_server.adapters.sql.causes import Cause
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
_PRIMARY_CODE: Final = 0xFF
_ABOUT_THE_FILE: Final = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
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
    """Implements `database.Database` on one connection and thread each for writes, reads and short reads.

    A write begins IMMEDIATE, so that it cannot fail half-way because of a lock.
    """

    def __init__(self, path: Path, observe: Observe | None = None) -> None:
        """Open the file, which must exist."""
        self._observe = observe
        self._file = _OpenedFile(path)
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
        """Finish the transactions that have begun, and close the file."""
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
    """Create an empty database file that only this user can read, unless there is one.

    SQLite gives its side files the same mode. Raises `OSError` or `sqlite3.Error` if it cannot be created.
    """
    if exists(path):
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _create_private(temporary)
    try:
        with closing(sqlite3.connect(temporary)) as connection:
            # The file keeps this mode. Later, setting it would need exclusive access.
            connection.execute("PRAGMA journal_mode=WAL")
        # Another process may have created the file meanwhile: then that one stays.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()


def exists(path: Path) -> bool:
    """Return whether the file exists; raises `OSError` for a directory in its place, and if it is hidden."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return path.exists()


def backup(path: Path, target: Path) -> None:
    """Copy the database as it is now, while servers may keep using it; raises `StartError` or `OSError`."""
    if not exists(path):
        raise StartError(f"There is no store at {path}.")
    if target.exists():
        raise StartError(f"{target} exists already.")
    _create_private(target)
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            # The copy has no epoch: no server uses it before `almond store restored` has begun one.
            copy.execute("UPDATE store SET epoch = ''")
            copy.commit()
    except sqlite3.Error as error:
        target.unlink()
        raise StartError(f"The store at {path} could not be copied, as {why(error, path)}.") from None


def why(error: BaseException | None, path: Path) -> Cause:
    """Return the cause of an error of SQLite. It asks the system about the file, as SQLite seldom says."""
    code = getattr(error, "sqlite_errorcode", 0)
    file = _file_error(path) if code & _PRIMARY_CODE in _ABOUT_THE_FILE else None
    # The driver's message names no values; SQLAlchemy's would hold the statement's parameters.
    return Cause(causes.of_sqlite(code, file), str(file or error))


def _file_error(path: Path) -> OSError | None:
    """Return what keeps this process from writing to the store's files, or None if nothing does."""
    side_files = [path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")]
    try:
        for each in (path, *(each for each in side_files if each.exists())):
            os.close(os.open(each, os.O_RDWR))
        with tempfile.TemporaryFile(dir=path.parent):
            return None
    except OSError as error:
        return error


def _create_private(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def location(path: Path) -> URL:
    """Return the URL of the file for SQLAlchemy, whatever characters its path has."""
    return URL.create("sqlite", database=str(path))


def for_migration(path: Path) -> Engine:
    """Return an engine for one transaction that changes the schema, which excludes all other writes."""
    # By itself the driver would begin late and commit before DDL: a migration must be one transaction.
    return _engine(path, _WRITE, ())


def require_local_file_system(path: Path) -> None:
    """Raise `StartError` if the file is on a network file system, where locks and syncs are not reliable."""
    mounts = [(each.mountpoint, each.fstype) for each in psutil.disk_partitions(all=True)]
    found = network_file_system(path.resolve(), mounts)
    if found is not None:
        raise StartError(
            f"{path} is on a network file system ({found}), on which SQLite can lose what it acknowledged: "
            "put the data directory on a local disk, or use PostgreSQL."
        )


def network_file_system(path: Path, mounts: Iterable[tuple[str, str]]) -> str | None:
    """Return the type of the network file system that an absolute path is on; None if it is on a local one.

    `mounts` are (mount point, type) in the order of mounting: a later one hides an earlier one of its path.
    """
    depth, found = -1, ""
    for point, kind in mounts:
        mount_path = Path(point)
        if path.is_relative_to(mount_path) and len(mount_path.parts) >= depth:
            depth, found = len(mount_path.parts), kind.lower()
    return found if found in _NETWORK_FILE_SYSTEMS else None


class _OpenedFile:
    """The file as it was opened. Writes to a file that was deleted or replaced since would be lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened = self._identity()

    def require_same_file(self) -> None:
        if self._identity() != self._opened:
            raise StoreExchangedError(
                "The store's file was deleted or replaced while this server ran. If it is the very same "
                "file, put it back and restart. If it is a backup, stop all servers and follow "
                "ops/RESTORE.md."
            )

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _transact(engine: Engine, work: Callable[[Connection], T], file: _OpenedFile) -> T:
    try:
        with engine.begin() as connection:
            result = work(connection)
            # Before the commit: a write that would be lost must not be acknowledged.
            file.require_same_file()
            return result
    except DBAPIError as error:
        cause = why(error.orig, file.path)
        sentence = f"The store refused it, and nothing was changed, as {cause.sentence}."
        raise StoreUnavailableError(sentence, words=cause.words) from None


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
        # The driver must not begin transactions by itself.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        deadline = time.monotonic() + (_BUSY_SECONDS if writes else 0)
        while not _begins(connection, begin, last_try=time.monotonic() >= deadline):
            pass

    return engine


def _begins(connection: Connection, begin: str, *, last_try: bool) -> bool:
    # SQLite's own retries wait longer and longer: a process that writes all the time would starve this one.
    # Retries after a few milliseconds find the moment between two of its transactions.
    try:
        connection.exec_driver_sql(begin)
    except OperationalError as error:
        if last_try or getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
