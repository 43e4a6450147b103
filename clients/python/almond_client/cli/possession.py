"""Revokes by possession: the holder of a token's text may revoke it, with no right of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almond.v1 import token_service_pb2 as pb
from almond_client.errors import UnauthenticatedError

if TYPE_CHECKING:
    from almond_client.cli.connection import Connection
    from almond_client.client import AsyncClient


def revoke_shown(connection: Connection, text: str, reason: str) -> pb.RevokeResponse:
    """Revoke the token of this text; raises `Failure` and the client's errors, as `Connection.call`."""
    request = pb.RevokeRequest(token=text, reason=reason)
    return connection.call(lambda client: revoke(connection, client, request))


async def revoke(
    connection: Connection, client: AsyncClient, request: pb.RevokeRequest, seconds: float | None = None
) -> pb.RevokeResponse:
    """Send a Revoke, within `seconds` if given; raises the client's errors.

    If the caller's own token is refused, a token that is shown is revoked without it: it would only say who
    the caller is.
    """
    try:
        return await client.revoke(request, timeout_seconds=seconds)
    except UnauthenticatedError:
        if request.WhichOneof("target") != "token":
            raise
    async with connection.anonymous() as anonymous:
        return await anonymous.revoke(request)
