"""Ports on loopback for servers that are started again on the same port.

Rules:
* A port lies below the kernel's ephemeral ports: else a client's connection could take it while its server
  is down.
* A process takes ports in blocks, and holds each block by an abstract unix socket until the process ends:
  no other process on this machine gives out a port of that block.
* A process gives out no port twice, and none that is in use.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FIRST: Final = 10_000
_BLOCK: Final = 64
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")

_blocks: Final[list[socket.socket]] = []
_one_at_a_time: Final = threading.Lock()


def free_port() -> int:
    """Return a port that nothing uses, for this process alone.

    Raises `RuntimeError` if none is left below the ephemeral ports.
    """
    with _one_at_a_time:
        port = next(_ports, None)
    if port is None:
        message = f"no port is free from {_FIRST} to {_RANGE}: raise the lower end there"
        raise RuntimeError(message)
    return port


def ephemeral_ports() -> range:
    """Return the ports that the kernel gives to clients' connections and to servers that bind port 0."""
    first, last = map(int, _RANGE.read_text().split())
    return range(first, last + 1)


def _free_ports() -> Iterator[int]:
    for first in range(_FIRST, ephemeral_ports().start - _BLOCK + 1, _BLOCK):
        if _takes_block(first):
            yield from filter(_is_free, range(first, first + _BLOCK))


_ports: Final = _free_ports()


def _takes_block(first: int) -> bool:
    """Take a block unless another process holds it; the kernel frees its socket's name with the process."""
    block = socket.socket(socket.AF_UNIX)
    try:
        block.bind(f"\0almond-test-ports-{first}")
    except OSError:
        block.close()
        return False
    _blocks.append(block)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
