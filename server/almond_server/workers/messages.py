"""What a parent and its worker say to each other: messages of JSON on a socket that keeps them whole.

The parent sends one order; the worker answers with one of two words, and with reports. The end of the socket
is the end of whoever held its other side.
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
    """What a worker is to do. It travels here, as settings hold secrets and command lines are public."""

    number: int
    settings: Settings


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker serves."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker cannot start, and ends; the sentence says what to do."""

    sentence: str


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return both sides."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(connection: socket.socket, message: Order | Ready | Refused | Report) -> None:
    """Send one. A report is left out if the other side does not read; who has gone is not told."""
    kind = type(message).__name__
    text = json.dumps([kind, asdict(message)], default=str).encode()
    with contextlib.suppress(OSError):
        connection.send(text, socket.MSG_DONTWAIT if isinstance(message, Report) else 0)


def read_order(message: bytes) -> Order:
    """Read what the parent sent; raises `ValueError` for anything else, and for its silence."""
    kind, content = json.loads(message)
    if kind != Order.__name__:
        raise ValueError(kind)
    given = content["settings"]
    return Order(content["number"], Settings(**given | {"data_dir": Path(given["data_dir"])}))


def read_answer(message: bytes) -> Ready | Refused | Report:
    """Read what a worker sent; raises `ValueError` for anything else."""
    kind, content = json.loads(message)
    if kind == Ready.__name__:
        return Ready()
    if kind == Refused.__name__:
        return Refused(content["sentence"])
    if kind == Report.__name__:
        return Report(Knowledge(content["knowledge"]), content["is_recent"], content["at"])
    raise ValueError(kind)
