"""The messages between a parent and its worker: JSON over a Unix socket that keeps message boundaries.

The parent sends one `Order`. The worker answers with `Ready` or `Refused`, and sends a `Report` four times a
second. If the socket closes, the process at its other end has ended.
"""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from almond_server.config.settings import Settings
from almond_server.telemetry.status import Knowledge, Report

MAX_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Order:
    """The order to serve. It is not on the command line, which is public: settings hold secrets."""

    number: int
    settings: Settings


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker serves requests."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker cannot start, and ends. The sentence tells the operator what to do."""

    sentence: str


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets: the parent's, and the one that the worker inherits."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(connection: socket.socket, message: Order | Ready | Refused | Report) -> None:
    """Send a message; never raises if the other process has ended.

    A report is dropped if the parent does not read, so that the worker is not blocked.
    """
    kind = type(message).__name__
    text = json.dumps([kind, asdict(message)], default=str).encode()
    with contextlib.suppress(OSError):
        connection.send(text, socket.MSG_DONTWAIT if isinstance(message, Report) else 0)


def read_order(message: bytes) -> Order:
    """Parse the parent's message; raises `ValueError` for anything but an order, an empty one too."""
    kind, content = json.loads(message)
    if kind != Order.__name__:
        raise ValueError(kind)
    given = content["settings"]
    return Order(content["number"], Settings(**given | {"data_dir": Path(given["data_dir"])}))


def read_answer(message: bytes) -> Ready | Refused | Report:
    """Parse a worker's message; raises `ValueError` for anything else."""
    kind, content = json.loads(message)
    if kind == Ready.__name__:
        return Ready()
    if kind == Refused.__name__:
        return Refused(content["sentence"])
    if kind == Report.__name__:
        return Report(**content | {"knowledge": Knowledge(content["knowledge"])})
    raise ValueError(kind)
