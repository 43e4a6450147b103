"""`almond init` on a store that cannot be used: exit code 2, and one sentence with the cause and its remedy.

Nothing is shown of a password, and each cause is a real one: of PostgreSQL, of PgBouncer, of a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from almond_server.adapters.sql import schema
from almond_server.data_dir import file_causes, paths
from almond_server.errors import StartError
from almond_server.ops import bootstrap
from e2e.service import ALMOND, ServeProcess, clean_environment, run
from support import leftovers
from support.pgbouncer import bounced
from support.postgres import PASSWORD, PostgresServer

OTHER_USER = 1_000_660_000
SETUP = (
    f"CREATE ROLE weak LOGIN PASSWORD '{PASSWORD}'",
    f"CREATE ROLE asleep NOLOGIN PASSWORD '{PASSWORD}'",
    f"CREATE ROLE full LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0",
    f"CREATE ROLE astray LOGIN PASSWORD '{PASSWORD}'",
    "ALTER ROLE astray SET search_path = nowhere",
    "CREATE DATABASE closed",
    "REVOKE CONNECT ON DATABASE closed FROM public",
    "CREATE DATABASE crowded CONNECTION LIMIT 0",
    "CREATE DATABASE frozen",
    "ALTER DATABASE frozen SET default_transaction_read_only = on",
)


def refused(tmp_path: Path, url: str = "", command: str = "init") -> str:
    """Return the one line with which a command refuses."""
    environment = {"ALMOND_DATABASE_URL": url}
    ran = run(command, "--data-dir", str(tmp_path / "data"), environment=environment)
    assert ran.code == 2, ran
    assert ran.err.startswith("error: "), ran
    assert ran.err.count("\n") == 1, ran
    assert PASSWORD not in ran.err + ran.out
    return ran.err


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        for each in SETUP:
            running.execute(sql.SQL("{}").format(sql.SQL(each)))
        yield running


@pytest.mark.parametrize(
    ("database", "user", "query", "expected"),
    [
        ("nowhere", "postgres", "", 'correct its name in ALMOND_DATABASE_URL (database "nowhere"'),
        ("postgres", "stranger", "", "does not let this role in: check user and password"),
        ("postgres", "asleep", "", "has LOGIN"),
        ("postgres", "full", "", "CONNECTION LIMIT"),
        ("crowded", "weak", "", "CONNECTION LIMIT"),
        ("closed", "weak", "", "GRANT CONNECT ON DATABASE"),
        ("postgres", "weak", "", "GRANT CREATE ON SCHEMA public TO"),
        ("postgres", "astray", "", "run CREATE SCHEMA"),
        ("postgres", "postgres", "?options=-c%20search_path%3Dnowhere", "run CREATE SCHEMA"),
        ("frozen", "postgres", "", "default_transaction_read_only"),
        ("frozen", "postgres", "?target_session_attrs=read-write", "default_transaction_read_only"),
        ("postgres", "postgres", "?sslmode=require", "does not speak TLS"),
        ("postgres", "postgres", f"?sslmode={PASSWORD}", "is none of PostgreSQL"),
        ("postgres", "postgres", f"?{PASSWORD}=1", "is none of libpq's"),
        ("postgres", "postgres", "?host=/nowhere", "there is no socket of PostgreSQL"),
        ("postgres", "postgres", "?target_session_attrs=any", "must be read-write or primary"),
    ],
)  # fmt: skip
def test_a_fault_of_postgresql_is_named_with_what_to_do(
    server: PostgresServer, tmp_path: Path, database: str, user: str, query: str, expected: str
) -> None:
    assert expected in refused(tmp_path, server.url(database, user) + query)


def test_a_wrong_and_a_missing_password_are_named(server: PostgresServer, tmp_path: Path) -> None:
    wrong = refused(tmp_path, server.url("postgres", password=f"{PASSWORD}x"))
    assert "check user and password" in wrong
    assert 'password authentication failed for user "postgres"' in wrong
    missing = refused(tmp_path, server.url("postgres").replace(f":{PASSWORD}", ""))
    assert "the database wants a password" in missing


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:pa@{PASSWORD}@127.0.0.1/db",
        f"postgresql://u:pa@{PASSWORD}/x@127.0.0.1:1/db",
        f"postgresql://u:pa@{PASSWORD}?x@127.0.0.1:1/db",
        f"postgresql://u:{PASSWORD}@127.0.0.1:1,two:words:5/db",
    ],
)
def test_a_password_that_is_not_escaped_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    said = refused(tmp_path, url)
    assert "%40" in said or "several are separated by commas" in said


def test_what_is_no_postgresql_is_named(tmp_path: Path) -> None:
    closed = f"postgresql://u:{PASSWORD}@127.0.0.1:1/db"
    assert "start PostgreSQL, or correct ALMOND_DATABASE_URL (Connection refused)" in refused(
        tmp_path, closed
    )
    unknown = f"postgresql://u:{PASSWORD}@host.invalid/db"
    assert "no host of that name is known" in refused(tmp_path, unknown)
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=_answer_http, args=(other,), daemon=True).start()
        url = f"postgresql://u:{PASSWORD}@127.0.0.1:{other.getsockname()[1]}/db"
        assert "is not PostgreSQL" in refused(tmp_path, url)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/db"
        assert "nothing answers in time" in refused(tmp_path, url)


def _answer_http(listening: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_a_database_that_lets_no_more_in_or_stops_is_named(
    tmp_path: Path, own_server: PostgresServer
) -> None:
    own_server.let_in("hostssl all all 127.0.0.1/32 trust", "host all postgres 127.0.0.1/32 scram-sha-256")
    own_server.stop()
    own_server.set(max_connections="4", superuser_reserved_connections="3")
    own_server.start()
    assert "pg_hba.conf has no line" in refused(tmp_path, own_server.url("postgres", "weak"))
    with contextlib.ExitStack() as sessions:
        for _ in range(4):
            sessions.enter_context(psycopg.connect(own_server.url("postgres")))
        assert "all connections are taken: raise max_connections" in refused(
            tmp_path, own_server.url("postgres")
        )
        own_server.stop_when_idle()
        assert "PostgreSQL is starting, stopping" in refused(tmp_path, own_server.url("postgres"))


def test_tables_of_another_owner_are_named(server: PostgresServer, tmp_path: Path) -> None:
    url = server.new_database()
    assert (
        run("init", "--data-dir", str(tmp_path / "data"), environment={"ALMOND_DATABASE_URL": url}).code == 0
    )
    name = url.rpartition("/")[2]
    theirs = server.url(name, "weak")
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES" in refused(tmp_path, theirs)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("GRANT SELECT, UPDATE ON alembic_version TO weak")
        session.execute("GRANT CREATE ON SCHEMA public TO weak")
        session.execute("UPDATE alembic_version SET version_num = '0001'")
    assert "ALTER TABLE ... OWNER TO" in refused(tmp_path, theirs, "migrate")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "(unsupported startup parameter: options)"),
        ({"ignore_startup_parameters": "options"}, "does not keep `lock_timeout`"),
        (
            {"ignore_startup_parameters": "options", "pool_mode": "transaction"},
            "does not keep `lock_timeout`",
        ),
        ({"ignore_startup_parameters": "options", "pool_mode": "statement"}, "pool_mode=session"),
        ({"ignore_startup_parameters": "options", "max_client_conn": "0"}, "PgBouncer's max_client_conn"),
    ],
)
def test_pgbouncer_is_named_with_the_mode_that_works(
    server: PostgresServer, tmp_path: Path, settings: dict[str, str], expected: str
) -> None:
    with bounced(server, **settings) as port:
        said = refused(tmp_path, f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres")
    assert expected in said
    assert "PgBouncer" in said


def test_a_database_that_pgbouncer_does_not_know_is_named(server: PostgresServer, tmp_path: Path) -> None:
    with bounced(server, ignore_startup_parameters="options") as port:
        said = refused(tmp_path, f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/nowhere")
    assert "the database does not exist" in said


def test_a_file_in_place_of_a_directory_or_the_other_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert "there is a file where a directory has to be" in refused(tmp_path)
    (tmp_path / "data").unlink()
    paths.database(tmp_path / "data").mkdir(parents=True)
    for command in ("init", "migrate"):
        said = refused(tmp_path, "", command)
        assert "there is a directory where a file has to be" in said
        assert "almond.db" in said


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    assert run("init", "--data-dir", str(tmp_path / "data")).code == 0
    paths.database(tmp_path / "data").write_bytes(b"not a database, but long enough for a header" * 99)
    for command in ("init", "migrate"):
        assert "the file is not a database" in refused(tmp_path, "", command)


def on_a_file_system(options: str, data_dir: Path, before: str, *words: str) -> tuple[int, str]:
    """Run `almond` where `data_dir` is a file system of its own; `before` is a command of the shell in it."""
    script = (
        f'mount -t tmpfs tmpfs "$1"; cd "$1"; {before}; mount -o remount,{options} "$1"; shift; exec "$@"'
    )
    # A user who is not root may mount in a namespace of its own, in which it is root.
    command = ["unshare", "-m" if os.geteuid() == 0 else "-Urm", "sh", "-ec", script, "sh", str(data_dir)]
    ran = subprocess.run(
        [*command, ALMOND, *words, "--data-dir", str(data_dir)],
        capture_output=True, text=True, env=clean_environment(), check=False,
    )  # fmt: skip
    return ran.returncode, ran.stderr


@pytest.mark.parametrize("command", ["init", "migrate"])
def test_a_read_only_file_system_is_named(tmp_path: Path, command: str) -> None:
    assert run("init", "--data-dir", str(tmp_path / "made")).code == 0
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    code, said = on_a_file_system("ro", data_dir, "true", command)
    assert (code, "is mounted read-only: mount it for writing" in said) == (2, True), said
    code, said = on_a_file_system("ro", data_dir, f"cp -p {tmp_path}/made/* .", command)
    assert (code, "is mounted read-only: mount it for writing" in said) == (2, True), said


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    for kibibytes in (4, 16, 64):
        code, said = on_a_file_system(f"size={kibibytes}k", data_dir, "true", "init")
        assert (code, "full" in said, "Traceback" in said) == (2, True, False), said


def test_a_running_server_names_the_cause_in_its_log_and_in_its_health(
    server: PostgresServer, tmp_path: Path
) -> None:
    url, data_dir = server.new_database(), tmp_path / "data"
    assert run("init", "--data-dir", str(data_dir), environment={"ALMOND_DATABASE_URL": url}).code == 0
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO weak")
        session.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weak")
    flags = ("--max-staleness", "2", "--poll-interval", "0.2")
    theirs = {"ALMOND_DATABASE_URL": server.url(name, "weak")}
    with ServeProcess(data_dir, "redis://127.0.0.1:1", *flags, **theirs) as running:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("REVOKE SELECT ON store FROM weak")
        cause = "the role lacks rights on the tables: run, as their owner, GRANT SELECT"
        running.eventually(lambda: cause in running.workers()[0]["why"])
        assert [cause in line["why"] for line in running.logged("store.unread")] == [True]
        assert "(permission denied for table store)" in running.logged("store.unread")[0]["why"]
        health = running.almond("health", token="none")
        assert (health.code, cause in health.err) == (3, True), health
        assert PASSWORD not in running.log.read_text() + health.err
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("GRANT SELECT ON store TO weak")
        running.eventually(lambda: running.workers()[0]["why"] == "")


# Modes do not bind root: only root can become another user, and the other users are bound themselves.
if os.geteuid() == 0:

    def as_other_user(work: Callable[[], object]) -> str:
        """Return what a function refuses with in a process of a user who is in no passwd file."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            answer = "it did not refuse"
            try:
                os.setgroups([])
                os.setgid(OTHER_USER)
                os.setuid(OTHER_USER)
                work()
            except StartError as error:
                answer = str(error)
            except OSError as error:
                answer = file_causes.describe(error)
            finally:
                os.write(writing, answer.encode())
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answers:
            said = answers.read()
        os.waitpid(child, 0)
        return said

    @pytest.fixture
    def theirs() -> Iterator[Path]:
        """A data directory that belongs to root and that others may read."""
        with leftovers.temporary_directory("theirs") as parent:
            parent.chmod(0o755)
            assert run("init", "--data-dir", str(parent / "data")).code == 0
            (parent / "data").chmod(0o755)
            yield parent / "data"

    def _init(place: Path) -> None:
        asyncio.run(bootstrap.init(place))

    def test_a_directory_that_this_user_may_not_write_to_is_named(theirs: Path) -> None:
        (theirs.parent / "empty").mkdir()
        for place in (theirs.parent / "new", theirs.parent / "empty"):
            said = as_other_user(partial(_init, place))
            assert (
                "this user may not read or write there: give the file and its directory to that user" in said
            )
            assert f"This process runs as user {OTHER_USER}." in said
            assert str(place) in said

    def test_files_of_root_in_a_directory_of_this_user_are_named(theirs: Path) -> None:
        os.chown(theirs, OTHER_USER, OTHER_USER)
        for each in theirs.iterdir():
            os.chown(each, OTHER_USER, OTHER_USER)
        database = paths.database(theirs)
        for left_by_root in (database, database.with_name("almond.db-wal")):
            left_by_root.touch()
            os.chown(left_by_root, 0, 0)
            left_by_root.chmod(0o600)
            said = as_other_user(lambda: schema.migrate(database))
            assert f"{left_by_root}" in said
            assert "this user may not read or write there: give" in said
            os.chown(left_by_root, OTHER_USER, OTHER_USER)
