"""The port that workers share: chosen, kept and locked by their parent, which never listens on it."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from almond_server.config.addresses import host_and_port
from almond_server.errors import StartError
from almond_server.ports_in_use import check_free

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def held(address: str) -> Iterator[int]:
    """Keep the port of `host:port` (0 picks one) for sockets with SO_REUSEPORT; yields the port.

    Raises `StartError` if anybody listens there, or another parent keeps it.
    """
    check_free(address)
    host, port = host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as kept, socket.socket(socket.AF_UNIX) as lock:
        # Bound and not listening, it gets no connection; but the port stays this user's while workers change.
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            kept.bind((host, port))
        except OSError:
            check_free(address)  # names who was faster
            raise StartError(f"Cannot listen on {address}.") from None
        where = kept.getsockname()
        # With SO_REUSEPORT the kernel lets a second parent of the same user bind as well, and share out the
        # connections among both. A name in the abstract space is as the port: of one network namespace, held
        # by one process, and gone with it.
        try:
            lock.bind(f"\0almond-serve/{where[0]}/{where[1]}")
        except OSError:
            raise StartError(
                f"{address} is in use already by another `almond serve`, which starts or stops. Stop that "
                "first, or choose another --address."
            ) from None
        yield int(where[1])
