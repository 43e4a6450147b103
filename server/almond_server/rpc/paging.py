"""Pages of a list: the token that names where the next page begins, and how large a page may be."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Final

from almond.v1.token_service_pb2 import ListTokensRequest
from almond_core.errors import FieldError

if TYPE_CHECKING:
    from almond_server.domain.stores import Position

MAX_PAGE_BYTES: Final = 1024 * 1024
"""A page ends early above this size: how much a record says is its maker's choice."""

_MAX_PAGE_TOKEN: Final = 128
_DIGEST_BYTES: Final = 8
_POSITION: Final = re.compile(
    r'\[([0-9]{1,15}), "([A-Za-z0-9_-]{22}(?:/[A-Za-z0-9_-]{22})?)", "([0-9a-f]{16})"\]'
)


def page_token(position: Position, request: ListTokensRequest) -> str:
    """Return the token of the page of a request that follows a position (AIP-158)."""
    return _page_token(position, _digest(request))


def page_start(request: ListTokensRequest) -> Position | None:
    """Read the page token of a request: the position that its page follows; None if it has none.

    Raises `FieldError` for a token that `page_token` does not write, or wrote for a request that differs in
    more than its page.
    """
    if not request.page_token:
        return None
    try:
        # A pattern and not a JSON parser: JSON of a caller's own making can be nested without end.
        given = _POSITION.fullmatch(base64.urlsafe_b64decode(request.page_token[:_MAX_PAGE_TOKEN]).decode())
    except ValueError:
        given = None
    if given is None or _page_token((int(given[1]), given[2]), given[3]) != request.page_token:
        raise FieldError("page_token", "the next_page_token of the page before, unchanged")
    if given[3] != _digest(request):
        raise FieldError(
            "page_token", "of a list with other fields; send the fields of the first page again, unchanged"
        )
    return int(given[1]), given[2]


def _page_token(position: Position, digest: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([*position, digest]).encode()).decode()


def _digest(request: ListTokensRequest) -> str:
    """Return a digest of what is listed: of all fields but the page and its size."""
    listed = ListTokensRequest()
    listed.CopyFrom(request)
    listed.ClearField("page_token")
    listed.ClearField("page_size")
    return hashlib.sha256(listed.SerializeToString(deterministic=True)).hexdigest()[: 2 * _DIGEST_BYTES]
