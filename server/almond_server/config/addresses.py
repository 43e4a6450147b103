"""Addresses as `host:port`, and which of them belong to this machine alone."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from almond_server.errors import StartError

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
MAX_PORT: Final = 65_535


def is_loopback_host(host: str) -> bool:
    """Tell whether a host, by name or address without brackets, is of this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_and_port(address: str, flag: str = "--address") -> tuple[str, int]:
    """Split a flag's `host:port` (IPv6 in brackets); raises `StartError` for anything else."""
    host, colon, port = address.rpartition(":")
    bare_v6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not colon or not host or bare_v6 or not port.isdecimal() or int(port) > MAX_PORT:
        raise StartError(f"{flag}: host:port, such as {DEFAULT_ADDRESS} or [::1]:50051.")
    return host.strip("[]"), int(port)


def is_loopback(address: str, flag: str = "--address") -> bool:
    """Tell whether a flag's address is of this machine alone."""
    host, _ = host_and_port(address, flag)
    return is_loopback_host(host)
