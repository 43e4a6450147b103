"""Reads the metadata and the peer of a gRPC call."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from almond_core.errors import FieldError
from almond_server.tokens.callers import Call

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


def call_of(context: Context) -> Call:
    """Return a call's authorization and peer; raises `FieldError` for several `authorization` entries."""
    values = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if len(values) > 1:
        raise FieldError("authorization", "send exactly one entry; several tokens go into it, with commas")
    peer = context.peer()
    return Call(str(values[0]) if values else None, peer.rpartition(":")[0] or peer, ip_of(peer))


def ip_of(peer: str) -> str | None:
    """Return the address in gRPC's name of a peer, such as `ipv4:10.0.0.1:443` or `ipv6:%5B::1%5D:443`.

    It has no zone (RFC 4007), which means something on this machine alone. None if the peer has no address.
    """
    family, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    if family not in {"ipv4", "ipv6"}:
        return None
    try:
        return str(ip_address(host))
    except ValueError:
        return None
