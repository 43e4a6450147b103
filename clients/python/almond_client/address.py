"""Checks the address of a service before a channel is opened, as gRPC reports a bad one only by silence."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

_UNIX: Final = "unix:"
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_MAX_PORT: Final = 65_535
_EXAMPLE: Final = "write it as host:port or unix:/path, such as 127.0.0.1:50051"


def check(address: str) -> str:
    """Return `address` if it is `host:port`, `[IPv6]:port` or `unix:/path`.

    Raises `TypeError` for anything but a string, else `ValueError` with a sentence that says what is wrong,
    and does not repeat the address: a token may be in its place by mistake.
    """
    if not isinstance(address, str):
        raise TypeError(f"the address is a string, not {type(address).__name__}: {_EXAMPLE}")
    problem = _problem(address)
    if problem is not None:
        raise ValueError(f"the address {problem}: {_EXAMPLE}")
    return address


def _problem(address: str) -> str | None:
    if not address:
        return "is empty"
    if address.startswith(_UNIX):
        path = address.removeprefix(_UNIX)
        return None if path.strip("/ ") and path.isprintable() else "names no socket"
    if not (address.isascii() and address.isprintable()) or " " in address:
        return "has spaces, line breaks or characters that are not ASCII"
    if "://" in address:
        return "is a URL, not host:port"
    host, colon, port = address.rpartition(":")
    if not colon:
        return "is not host:port"
    if _PORT.fullmatch(port) is None or not 0 < int(port) <= _MAX_PORT:
        return f"has no port from 1 to {_MAX_PORT}"
    return None if _is_host(host) else "has no host before its port (IPv6 goes into brackets)"


def _is_host(host: str) -> bool:
    if not (host.startswith("[") and host.endswith("]")):
        return _HOST.fullmatch(host) is not None
    try:
        IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True
