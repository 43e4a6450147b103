"""The port to listen on: which process holds it already, and how a parent keeps it for its workers.

The parent chooses, binds and locks the port, and never listens on it.
"""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psutil

from almond_server.config.addresses import host_and_port
from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator


WORKER_MODULE: Final = "almond_server.workers.worker"
"""What a worker's process runs, and is known by."""


@contextmanager
def reserved_port(address: str) -> Iterator[int]:
    """Keep the port of `host:port` (0 picks one) for sockets with SO_REUSEPORT; yields the port.

    Raises `StartError` if anybody listens there, or another parent keeps it.
    """
    check_free(address)
    host, port = host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as reserved, socket.socket(socket.AF_UNIX) as lock:
        # Bound and not listening, it gets no connection; but the port stays this user's while workers change.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            reserved.bind((host, port))
        except OSError:
            check_free(address)  # names who was faster
            raise StartError(f"Cannot listen on {address}.") from None
        bound = reserved.getsockname()
        # With SO_REUSEPORT the kernel lets a second parent of the same user bind as well, and share out the
        # connections among both. A name in the abstract space is as the port: of one network namespace, held
        # by one process, and gone with it.
        try:
            lock.bind(f"\0almond-serve/{bound[0]}/{bound[1]}")
        except OSError:
            raise StartError(
                f"{address} is in use already by another `almond serve`, which starts or stops. Stop that "
                "first, or choose another --address."
            ) from None
        yield int(bound[1])


def check_free(address: str, flag: str = "--address") -> None:
    """Raise `StartError` that names the process if somebody listens on the address (a flag's) already."""
    host, port = host_and_port(address, flag)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As gRPC binds without SO_REUSEPORT: a port in TIME_WAIT is free, one somebody listens on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            raise StartError(f"{flag}: the host {host} is not known here.") from None
        except OSError as error:
            raise StartError(_bind_error(address, port, error, flag)) from None


def _bind_error(address: str, port: int, error: OSError, flag: str) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"Cannot listen on {address}: {error.strerror}."
    owner = _listener_on(port)
    return f"{address} is in use already by {owner}. Stop that first, or choose another {flag}."


def _listener_on(port: int) -> str:
    try:
        listening = (
            each
            for each in psutil.net_connections(kind="tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid
        )
        first = next(listening, None)
        if first is not None and first.pid is not None:
            return _describe(psutil.Process(first.pid))
    except psutil.Error:
        pass
    return "another process, which this user may not see"


def _describe(process: psutil.Process) -> str:
    """Name a process; of one of our workers, the parent: it would start another one."""
    parent = process.parent()
    if parent is not None and WORKER_MODULE in process.cmdline():
        process = parent
    return f"process {process.pid} ({process.name()})"
