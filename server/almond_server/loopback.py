"""Which hosts are this machine alone, so that nothing on the way can be read by others."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback_host(host: str) -> bool:
    """Tell whether a host, by name or address without brackets, is of this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
