"""Who listens on a port already, for an error that names them."""

from __future__ import annotations

import errno
import socket

import psutil

from almond_server.config.addresses import host_and_port
from almond_server.errors import StartError
from almond_server.worker_socket import WORKER_MODULE


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
            raise StartError(_sentence(address, port, error, flag)) from None


def _sentence(address: str, port: int, error: OSError, flag: str) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"Cannot listen on {address}: {error.strerror}."
    return f"{address} is in use already by {_holder(port)}. Stop that first, or choose another {flag}."


def _holder(port: int) -> str:
    try:
        listening = (
            each
            for each in psutil.net_connections(kind="tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid
        )
        first = next(listening, None)
        if first is not None and first.pid is not None:
            return _named(psutil.Process(first.pid))
    except psutil.Error:
        pass
    return "another process, which this user may not see"


def _named(process: psutil.Process) -> str:
    """Name a process; of one of our workers, the parent: it would start another one."""
    parent = process.parent()
    if parent is not None and WORKER_MODULE in process.cmdline():
        process = parent
    return f"process {process.pid} ({process.name()})"
