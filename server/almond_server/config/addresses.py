"""Addresses of the form `host:port`, and whether they are on the loopback interface."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from almond_server.errors import StartError

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
MAX_PORT: Final = 65_535


def is_loopback_host(host: str) -> bool:
    """Return whether a host (a name, or an address without brackets) is this machine's loopback interface."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_and_port(address: str, flag: str = "--address") -> tuple[str, int]:
    """Split a flag's `host:port` (IPv6 in brackets); raises `StartError` for anything else."""
    host, colon, port = address.rpartition(":")
    bare_v6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    # A space or a line end comes from a file or a manifest, and is not seen in a name that does not resolve.
    is_odd = any(each.isspace() or not each.isprintable() for each in address)
    if is_odd or not colon or not host or bare_v6 or not port.isdecimal() or int(port) > MAX_PORT:
        raise StartError(
            f"{flag}: must be host:port, such as {DEFAULT_ADDRESS} or [::1]:50051, and not {address!r}."
        )
    return host.strip("[]"), int(port)


def is_loopback(address: str, flag: str = "--address") -> bool:
    """Return whether a flag's address is on this machine's loopback interface."""
    host, _ = host_and_port(address, flag)
    return is_loopback_host(host)
