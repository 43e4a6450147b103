"""Schema versions: `almond migrate` brings a database up to this program's; nothing else changes one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from almond_server.adapters.sql.database import create_file, location
from almond_server.errors import OldSchemaError, StartError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def migrate(path: Path) -> tuple[str | None, str]:
    """Create or upgrade the database at `path`; returns the version before (None if new) and after.

    Raises `StartError` for a database that this program does not know.
    """
    if not path.exists():
        create_file(path)
    before = _version(path)
    scripts = ScriptDirectory.from_config(_config())
    _must_be_known(before, scripts)
    config = _config()
    engine = _engine(path)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
    return before, str(scripts.get_current_head())


def check(path: Path) -> None:
    """Raise `StartError` unless the database at `path` has exactly this program's schema.

    `OldSchemaError` if `migrate` would help.
    """
    if not path.exists():
        raise StartError(f"There is no store at {path}; run `almond init` first.")
    scripts = ScriptDirectory.from_config(_config())
    version = _version(path)
    _must_be_known(version, scripts)
    if version != scripts.get_current_head():
        raise OldSchemaError(
            f"The store at {path} has an older schema ({version or 'none'}); run `almond migrate`."
        )


def _must_be_known(version: str | None, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    if version is not None and version not in known:
        raise StartError(
            f"The store has schema {version}, which this version of Almond does not know: "
            "it was written by a newer one. Upgrade Almond; it never changes a schema that it does not know."
        )


def _version(path: Path) -> str | None:
    engine = _engine(path)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError:
        raise StartError(f"{path} is not a database that can be read.") from None
    finally:
        engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(location(path), poolclass=NullPool)

    # The driver would begin late and commit before DDL: a migration must be one transaction.
    @event.listens_for(engine, "connect")
    def connected(connection: object, record: object) -> None:
        del record
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def begun(connection: object) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]

    return engine


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
