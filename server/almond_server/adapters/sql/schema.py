"""Schema versions. Only `almond migrate` changes the schema of a database, to that of this program.

Alembic and the driver of PostgreSQL take a second to load together, so functions import them when needed.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import column, inspect, select, table
from sqlalchemy.exc import DBAPIError

from almond_server.adapters.sql import locks, sqlite
from almond_server.data_dir import file_causes
from almond_server.errors import OldSchemaError, StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config
    from sqlalchemy import Connection, Engine

    from almond_server.adapters.sql.causes import Cause
    from almond_server.adapters.sql.database import Location

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_TABLE: Final = "alembic_version"
_VERSIONS: Final = sorted(
    path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py")
)


def migrate(location: Location) -> tuple[str | None, str]:
    """Create or upgrade a database; return its schema version before (None if new) and after.

    A PostgreSQL database must exist, but may be empty. If two migrations run at once, the second waits, and
    then finds nothing to do. Raises `StartError`, with what to do about it, for a database that cannot be
    reached, read or changed, or has an unknown schema.
    """
    with _explained(location):
        if isinstance(location, Path):
            if not location.parent.exists():
                raise StartError(
                    f"There is no data directory {location.parent}: run `almond init`, which makes it, or "
                    "correct --data-dir."
                )
            sqlite.require_local_file_system(location)
            sqlite.create_file(location)
        _require_known(_version(location))
        return _upgrade(location), _VERSIONS[-1]


def _upgrade(location: Location) -> str | None:
    """Migrate in one transaction; return the schema version before."""
    from alembic import command

    config = _config()
    engine = _migrating(location)
    try:
        with engine.begin() as connection:
            locks.exclude(connection, locks.MIGRATION)
            # Read again under the lock: another migration may have run meanwhile.
            before = _version_in(connection)
            _require_known(before)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return before
    finally:
        engine.dispose()


def is_new(location: Location) -> bool:
    """Return whether `migrate` would create this database; raises `StartError` if it cannot be read."""
    with _explained(location):
        if isinstance(location, Path):
            return not sqlite.exists(location)
        return _version(location) is None


def check(location: Location) -> None:
    """Raise `StartError` unless the database has exactly this program's schema.

    Raises `OldSchemaError`, which is one, if `migrate` would upgrade it.
    """
    with _explained(location):
        if isinstance(location, Path):
            if not sqlite.exists(location):
                raise StartError(f"There is no store at {location}; run `almond init` first.")
            sqlite.require_local_file_system(location)
        version = _version(location)
    _require_known(version)
    if version != _VERSIONS[-1]:
        raise OldSchemaError(
            f"The store at {_name(location)} has an older schema ({version or 'none'}); run `almond migrate`."
        )


def _require_known(version: str | None) -> None:
    if version is not None and version not in _VERSIONS:
        raise StartError(
            f"The store has schema {version}, which this version of Almond does not know: "
            "it was written by a newer one. Upgrade Almond; it never changes a schema that it does not know."
        )


def _version(location: Location) -> str | None:
    return _sqlite_version(location) if isinstance(location, Path) else _postgres_version(location)


def _sqlite_version(path: Path) -> str | None:
    engine = sqlite.for_migration(path)
    try:
        with engine.connect() as connection:
            return _version_in(connection)
    finally:
        engine.dispose()


def _postgres_version(url: str) -> str | None:
    from almond_server.adapters.sql import postgres

    engine = postgres.for_one_read(url)
    try:
        with engine.connect() as connection:
            postgres.require_session_settings(connection, url)
            return _version_in(connection)
    finally:
        engine.dispose()


def _version_in(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_TABLE):
        return None
    version: str | None = connection.scalar(select(column("version_num")).select_from(table(_TABLE)))
    return version


def _migrating(location: Location) -> Engine:
    if isinstance(location, Path):
        return sqlite.for_migration(location)
    from almond_server.adapters.sql import postgres

    return postgres.for_migration(location)


def _name(location: Location) -> str:
    if isinstance(location, Path):
        return str(location)
    from almond_server.adapters.sql import postgres_url

    return postgres_url.name(location)


@contextmanager
def _explained(location: Location) -> Iterator[None]:
    """Raise a failure of the database or of its file as `StartError` that says what to do about it."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise StartError(
            f"The store at {_name(location)} cannot be used, as {_why(error, location)}."
        ) from None
    except OSError as error:
        if error.filename is None:
            raise
        raise StartError(file_causes.describe(error)) from None


def _why(error: DBAPIError | sqlite3.Error, location: Location) -> Cause:
    if isinstance(location, Path) or not isinstance(error, DBAPIError):
        return sqlite.why(error.orig if isinstance(error, DBAPIError) else error, Path(location))
    from almond_server.adapters.sql import postgres, postgres_url

    return postgres.why(error, postgres_url.parse(location))


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
