"""Pages of a list: the token that names where the next page begins, and how large a page may be."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Final

from almond_core.errors import FieldError

if TYPE_CHECKING:
    from almond_server.domain.records import Record

MAX_PAGE_BYTES: Final = 1024 * 1024
"""A page ends early above this size: how much a record says is its maker's choice."""

_MAX_PAGE_TOKEN: Final = 128
_POSITION: Final = re.compile(r'\[([0-9]{1,15}), "([A-Za-z0-9_-]{22}(?:/[A-Za-z0-9_-]{22})?)"\]')


def page_token(last: Record) -> str:
    """Return the token of the page that follows a record (AIP-158)."""
    return _page_token(last.created_at_ms, last.id)


def page_start(page_token: str) -> tuple[int, str] | None:
    """Read a page token: the (`created_at_ms`, id) of the last record of the page before; None if empty.

    Raises `FieldError` for a token that `page_token` does not write.
    """
    if not page_token:
        return None
    try:
        # A pattern and not a JSON parser: JSON of a caller's own making can be nested without end.
        position = _POSITION.fullmatch(base64.urlsafe_b64decode(page_token[:_MAX_PAGE_TOKEN]).decode())
    except ValueError:
        position = None
    if position is None or _page_token(int(position[1]), position[2]) != page_token:
        raise FieldError("page_token", "the next_page_token of the page before, unchanged")
    return int(position[1]), position[2]


def _page_token(created_at_ms: int, record_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([created_at_ms, record_id]).encode()).decode()
