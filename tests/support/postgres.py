"""A PostgreSQL for tests: the system's binaries, a directory under /tmp, a port of its own on loopback."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Final, Self

import psutil
import psycopg
from psycopg import sql

from support import leftovers
from support.ports import free_port
from support.system_packages import postgres_binary

PASSWORD: Final = "in-no-log-7f3a"
_USER: Final = "postgres"
_SECONDS: Final = 20.0
_TABLES: Final = sql.SQL("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").format()
_END_SESSIONS: Final = sql.SQL(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = {}"
)
_RESET_SEQUENCES: Final = sql.SQL(
    "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences"
)
_OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Tests kill processes only, after which the kernel still has what was written.
    "fsync": "off",
    "max_connections": "200",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "posix",
    "logging_collector": "off",
}


class PostgresServer:
    """A PostgreSQL server that can be stopped, killed, paused and started again."""

    def __init__(self, copy_of: Self | None = None) -> None:
        """Start a new server, or a standby of another one."""
        self._options = dict(_OPTIONS)
        self.directory = leftovers.make_directory("postgres")
        self.port = free_port()
        self._tables: list[str] = []
        self._names = (f"almond_{number}" for number in itertools.count())
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            entry = pwd.getpwnam(_USER)
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
        if copy_of is not None:
            self._run(
                "pg_basebackup", "-D", str(self._data), "-d", copy_of.url("postgres"), "-R", "-c", "fast"
            )
            self.start()
            return
        password = self.directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run("initdb", "-D", str(self._data), "-U", _USER, "-A", "scram-sha-256", "--no-sync",
                  "--locale=C.UTF-8", "--pwfile", str(password))  # fmt: skip
        self.start()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def url(self, database: str, user: str = _USER, password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create a database without tables; returns its URL."""
        name = next(self._names)
        self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def remember(self, url: str) -> None:
        """Copy the content of a database's tables into other tables, for `restore`."""
        name = url.rpartition("/")[2]
        self._tables = [table for (table,) in self.execute(_TABLES, name)]
        copied = [
            sql.SQL("CREATE TABLE kept.{0} AS TABLE public.{0}").format(sql.Identifier(table))
            for table in self._tables
        ]
        self.execute(sql.SQL("; ").join([sql.SQL("CREATE SCHEMA kept"), *copied]), name)

    def restore(self, url: str) -> None:
        """End all sessions of a database and restore its content: a new database takes far longer."""
        name = url.rpartition("/")[2]
        self.execute(_END_SESSIONS.format(sql.Literal(name)))
        begun_anew = [
            sql.SQL("DELETE FROM public.{0}; INSERT INTO public.{0} TABLE kept.{0}").format(
                sql.Identifier(table)
            )
            for table in self._tables
        ]
        self.execute(sql.SQL("; ").join([*begun_anew, _RESET_SEQUENCES]), name)

    def execute(self, statement: sql.Composed, database: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def standby(self) -> PostgresServer:
        """Start a read-only standby of this server."""
        return PostgresServer(self)

    def set(self, **options: str) -> None:
        """Start it with these settings from the next start on."""
        self._options = self._options | options

    def let_in(self, *lines: str) -> None:
        """Let in only what these lines of pg_hba.conf say, from the next start on."""
        (self._data / "pg_hba.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        options = [word for key, value in self._options.items() for word in ("-c", f"{key}={value}")]
        command = [postgres_binary("postgres"), "-D", str(self._data), "-p", str(self.port), *options]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **as_postgres()
            )
        leftovers.end_with_run(self._process.pid)
        deadline = time.monotonic() + _SECONDS
        while not self._takes_connections():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.directory / "log").read_text()[-2000:]
                message = f"PostgreSQL did not start: {said}"
                raise RuntimeError(message)
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it as an operator would: open transactions are rolled back."""
        self.resume()
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_SECONDS)

    def stop_when_idle(self) -> None:
        """Have it refuse new sessions now, and stop when the open ones have ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the server and to every session."""
        processes = self._processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # a session may end by itself
                process.kill()
        deadline = time.monotonic() + _SECONDS
        while any(map(leftovers.is_alive, processes)) and time.monotonic() < deadline:
            time.sleep(0.01)  # a session that has not ended would keep the next server from starting
        if self._process is not None:
            self._process.wait(_SECONDS)

    def pause(self) -> None:
        """Send SIGSTOP to every process: connections stay open, and nothing answers."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Send SIGCONT to every process."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def close(self) -> None:
        """Kill it and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _processes(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid if self._process else -1)
            return [first, *first.children(recursive=True)]
        except (psutil.NoSuchProcess, ValueError):
            return []

    def _takes_connections(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [postgres_binary(program), *words], check=True, capture_output=True, cwd="/", **as_postgres()
        )


def as_postgres() -> dict[str, Any]:
    """Return the arguments that give up root, as PostgreSQL refuses to run as root."""
    return {"user": _USER, "group": _USER, "extra_groups": []} if os.geteuid() == 0 else {}
