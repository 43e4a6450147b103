"""The port of `almond serve`: names the process that uses it already, and reserves it for several workers.

The parent of workers chooses, binds and locks the port, and never listens on it.
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
"""The module that a worker process runs. A process with it in its command line is a worker."""


@contextmanager
def reserved_port(address: str) -> Iterator[int]:
    """Reserve the port of `host:port` for sockets with SO_REUSEPORT while the block lasts; yields the port.

    Port 0 picks a free one. Raises `StartError` if a process listens there, or another parent reserves it.
    """
    check_free(address)
    host, port = host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as reserved, socket.socket(socket.AF_UNIX) as lock:
        # A bound socket that does not listen gets no connections, but keeps the port for this user while
        # workers are replaced.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            reserved.bind((host, port))
        except OSError:
            # This raises with the name of a process that has just taken the port.
            check_free(address)
            raise StartError(f"Cannot listen on {address}.") from None
        bound = reserved.getsockname()
        # With SO_REUSEPORT a second parent of the same user could bind too, and the kernel would spread the
        # connections over the workers of both. So the parent also binds an abstract Unix socket: as the port,
        # its name belongs to one network namespace and one process, and is free when that ends.
        try:
            lock.bind(f"\0almond-serve/{bound[0]}/{bound[1]}")
        except OSError:
            raise StartError(
                f"{address} is in use already by another `almond serve`, which is starting or stopping. Stop "
                "that first, or choose another --address."
            ) from None
        yield int(bound[1])


def check_free(address: str, flag: str = "--address", advice: str = "") -> None:
    """Raise `StartError`, which names the process, if one listens on the address of this flag already.

    `advice` is more that the reader can do, and ends the sentence.
    """
    host, port = host_and_port(address, flag)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As gRPC binds without SO_REUSEPORT: a port in TIME_WAIT is free, a port with a listener is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            raise StartError(f"{flag}: the host {host!r} cannot be resolved on this machine.") from None
        except OSError as error:
            raise StartError(_bind_error(address, port, error, flag, advice)) from None


def _bind_error(address: str, port: int, error: OSError, flag: str, advice: str) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"Cannot listen on {address}: {error.strerror}."
    owner = _listener_on(port)
    return f"{address} is in use already by {owner}. Stop that first, or choose another {flag}{advice}."


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
    return "another process, which this user is not allowed to see"


def _describe(process: psutil.Process) -> str:
    """Return the name of a process; for a worker of ours its parent, which would start another worker."""
    parent = process.parent()
    if parent is not None and WORKER_MODULE in process.cmdline():
        process = parent
    return f"process {process.pid} ({process.name()})"
