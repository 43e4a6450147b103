"""A PgBouncer for tests, in front of a PostgreSQL of the tests, on a port of its own on loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator

from support import leftovers
from support.ports import free_port
from support.postgres import PASSWORD, PostgresServer, as_postgres
from support.system_packages import pgbouncer

_SECONDS = 20.0


@contextlib.contextmanager
def bounced(behind: PostgresServer, **settings: str) -> Iterator[int]:
    """Run PgBouncer with its defaults and `settings`, in front of the database postgres; yields its port."""
    port = free_port()
    lines = [
        "[databases]",
        f"postgres = host=127.0.0.1 port={behind.port} user=postgres password={PASSWORD}",
        "[pgbouncer]",
        f"listen_port = {port}",
        *(f"{key} = {value}" for key, value in {**_SETTINGS, **settings}.items()),
    ]
    configuration = behind.directory / f"pgbouncer-{port}.ini"
    configuration.write_text("\n".join(lines) + "\n")
    configuration.chmod(0o644)
    process = subprocess.Popen(
        [pgbouncer(), "-q", str(configuration)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **as_postgres(),
    )
    leftovers.end_with_run(process.pid)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(_SECONDS)


_SETTINGS = {"listen_addr": "127.0.0.1", "auth_type": "any", "unix_socket_dir": ""}


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None, "PgBouncer did not start"
        assert time.monotonic() < deadline, "PgBouncer does not answer"
        time.sleep(0.02)
