"""Reads lists of records from the service, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from almond.v1 import token_pb2
    from almond.v1 import token_service_pb2 as pb
    from almond_client.client import AsyncClient

PAGE: Final = 500
"""How many records a command asks for at once."""


async def all_records(
    client: AsyncClient, request: pb.ListTokensRequest, limit: int | None = None
) -> list[token_pb2.TokenRecord]:
    """Return the records of all pages, or the first `limit`."""
    request.page_size = PAGE if limit is None else min(limit, PAGE)
    found: list[token_pb2.TokenRecord] = []
    async for each in client.records(request):
        found.append(each)
        if len(found) == limit:
            break
    return found
