"""Schema versions: `almond migrate` brings a database up to this program's; nothing else changes one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from almond_server.adapters.sql import locks, postgres, sqlite
from almond_server.errors import OldSchemaError, StartError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from almond_server.adapters.sql.database import Location

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def migrate(location: Location) -> tuple[str | None, str]:
    """Create or upgrade the database there; returns the version before (None if new) and after.

    A PostgreSQL database must exist, and may be empty. Of two that run at once the second waits, and finds
    nothing to do. Raises `StartError` for a database that cannot be read, or that this program does not know.
    """
    if isinstance(location, Path):
        sqlite.must_be_local(location)
        sqlite.create_file(location)
    scripts = ScriptDirectory.from_config(_config())
    _must_be_known(_version(location), scripts)
    config = _config()
    engine = _migrating(location)
    try:
        with engine.begin() as connection:
            locks.exclude(connection, locks.MIGRATION)
            before = _version_in(connection)  # again: another migration may have come first
            _must_be_known(before, scripts)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
    return before, str(scripts.get_current_head())


def is_new(location: Location) -> bool:
    """Tell whether `migrate` would create what is there; raises `StartError` if it cannot be read."""
    if isinstance(location, Path):
        return not location.exists()
    return _version(location) is None


def check(location: Location) -> None:
    """Raise `StartError` unless the database there has exactly this program's schema.

    `OldSchemaError` if `migrate` would help.
    """
    if isinstance(location, Path):
        if not location.exists():
            raise StartError(f"There is no store at {location}; run `almond init` first.")
        sqlite.must_be_local(location)
    scripts = ScriptDirectory.from_config(_config())
    version = _version(location)
    _must_be_known(version, scripts)
    if version != scripts.get_current_head():
        raise OldSchemaError(
            f"The store at {_name(location)} has an older schema ({version or 'none'}); run `almond migrate`."
        )


def _must_be_known(version: str | None, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    if version is not None and version not in known:
        raise StartError(
            f"The store has schema {version}, which this version of Almond does not know: "
            "it was written by a newer one. Upgrade Almond; it never changes a schema that it does not know."
        )


def _version(location: Location) -> str | None:
    engine = postgres.looking(location) if isinstance(location, str) else sqlite.migrating(location)
    try:
        with engine.connect() as connection:
            if isinstance(location, str):
                postgres.must_keep_settings(connection, location)
            return _version_in(connection)
    except DBAPIError as error:
        why = f" ({postgres.why(error)})" if isinstance(location, str) else ""
        raise StartError(f"{_name(location)} is not a database that can be read{why}.") from None
    finally:
        engine.dispose()


def _version_in(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _migrating(location: Location) -> Engine:
    return postgres.migrating(location) if isinstance(location, str) else sqlite.migrating(location)


def _name(location: Location) -> str:
    return postgres.name(location) if isinstance(location, str) else str(location)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
