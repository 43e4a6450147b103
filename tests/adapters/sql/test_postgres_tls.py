"""TLS to PostgreSQL: the settings of the URL are enforced, and failures are explained without a secret."""

from __future__ import annotations

import os
import shutil
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from almond_server.adapters.sql import postgres as adapter
from almond_server.adapters.sql.schema import check, migrate
from almond_server.adapters.sql.store import open_store
from almond_server.errors import StartError, StoreUnavailableError
from support.certificates import Authority
from support.postgres import PASSWORD, PostgresServer
from support.samples import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def encrypted(authority: Authority) -> Iterator[PostgresServer]:
    """A server whose certificate is for 127.0.0.1, and not for localhost."""
    with PostgresServer() as server:
        server.stop()
        owner = server.directory.stat()
        for source, name in zip(authority.vouch("127.0.0.1"), ("server.crt", "server.key"), strict=True):
            target = Path(shutil.copy(source, server.directory / "data" / name))
            os.chown(target, owner.st_uid, owner.st_gid)
            target.chmod(0o600)
        server.set(ssl="on")
        server.start()
        yield server


@pytest.fixture(scope="module")
def database(encrypted: PostgresServer) -> str:
    url = encrypted.new_database()
    migrate(url)
    return url


def refused(url: str) -> str:
    with pytest.raises(StartError) as error:
        check(url)
    assert PASSWORD not in "".join(traceback.format_exception(error.value))
    return str(error.value)


async def test_a_server_that_the_named_authority_vouches_for_is_spoken_to(
    database: str, authority: Authority
) -> None:
    store = open_store(f"{database}?sslmode=verify-full&sslrootcert={authority.file}")
    used = sql.SQL("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").as_string()
    assert (
        await store.database.read("test", lambda connection: connection.exec_driver_sql(used).scalar())
        is True
    )
    await store.close()


def test_another_authority_is_refused(database: str, tmp_path: Path) -> None:
    said = refused(f"{database}?sslmode=verify-full&sslrootcert={Authority(tmp_path, 'other').file}")
    assert "no authority of sslrootcert vouches" in said


def test_another_host_is_refused(database: str, authority: Authority) -> None:
    elsewhere = database.replace("@127.0.0.1", "@localhost")
    said = refused(f"{elsewhere}?sslmode=verify-full&sslrootcert={authority.file}")
    assert "for another host" in said


def test_an_authority_without_a_file_and_a_mode_that_is_none_are_refused(
    database: str, tmp_path: Path
) -> None:
    assert "cannot be read" in refused(f"{database}?sslmode=verify-full&sslrootcert={tmp_path / 'missing'}")
    assert "sslmode" in refused(f"{database}?sslmode=verify_full")


def test_a_server_without_tls_is_refused(postgres: PostgresServer, authority: Authority) -> None:
    said = refused(f"{postgres.url('postgres')}?sslmode=verify-full&sslrootcert={authority.file}")
    assert "does not speak TLS" in said


async def test_a_running_store_whose_server_shows_another_certificate_is_not_believed(
    encrypted: PostgresServer, database: str, authority: Authority, tmp_path: Path
) -> None:
    store = open_store(f"{database}?sslmode=verify-full&sslrootcert={authority.file}")
    await store.revocations.reading(NOW)
    own = encrypted.directory / "data" / "server.crt", encrypted.directory / "data" / "server.key"
    before = [path.read_bytes() for path in own]
    encrypted.stop()
    for path, source in zip(own, Authority(tmp_path, "other").vouch("127.0.0.1"), strict=True):
        path.write_bytes(source.read_bytes())
    encrypted.start()
    try:
        with pytest.raises(StoreUnavailableError, match="no authority of sslrootcert vouches") as error:
            await store.revocations.reading(NOW)
        assert PASSWORD not in "".join(traceback.format_exception(error.value))
    finally:
        await store.close()
        encrypted.stop()
        for path, content in zip(own, before, strict=True):
            path.write_bytes(content)
        encrypted.start()


@pytest.mark.parametrize("mode", ["", "&sslmode=prefer", "&sslmode=require", "&sslmode=disable"])
def test_an_authority_that_nothing_is_compared_with_is_half_a_configuration(
    database: str, authority: Authority, mode: str
) -> None:
    assert "sslmode=verify-full" in refused(f"{database}?sslrootcert={authority.file}{mode}")


@pytest.mark.parametrize(
    ("rest", "exposed"),
    [
        ("u@127.0.0.1/a", False),
        ("u@localhost/a", False),
        ("u@[::1]/a", False),
        ("u@/a", False),
        ("u@/a?host=/run/postgresql", False),
        ("u@10.0.0.1/a", True),
        ("u@db.internal/a?sslmode=require", True),
        ("u@db.internal/a?sslmode=prefer", True),
        ("u@db.internal/a?sslmode=verify-full", False),
        ("u@db.internal/a?sslmode=verify-ca", False),
        ("u@/a?host=127.0.0.1:1&host=db.internal:2", True),
        ("u@127.0.0.1/a?hostaddr=10.0.0.1", True),
    ],
)
def test_sessions_are_exposed_where_a_network_is_crossed_and_nothing_verified(
    rest: str, exposed: bool
) -> None:
    assert adapter.is_exposed(f"postgresql://{rest}") == exposed


def test_what_the_environment_says_of_tls_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert not adapter.is_exposed("postgresql://u@db.internal/a")
    monkeypatch.setenv("PGHOST", "db.internal")
    monkeypatch.setenv("PGSSLMODE", "require")
    assert adapter.is_exposed("postgresql://u@/a")
