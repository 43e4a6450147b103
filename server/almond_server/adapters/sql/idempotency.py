"""Remembers the answers to requests with an id for 24 hours, so that a retry gets the same answer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from almond_server.adapters.sql import locks
from almond_server.adapters.sql.tables import REQUESTS
from almond_server.errors import RequestReusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.domain.stores import Idempotency

KEPT_SECONDS: Final = 24 * 3600
_MAX_DELETED: Final = 1000


def answered(connection: Connection, request: Idempotency | None, now: int) -> str | None:
    """Return the answer that was remembered for a request, or None.

    A concurrent transaction with the same request id waits until this one ends. Raises `RequestReusedError`
    if the content of the earlier request was another.
    """
    if request is None:
        return None
    key = _key(request)
    locks.exclude(connection, int.from_bytes(key[:8], "big", signed=True))
    row = connection.execute(select(REQUESTS).where(REQUESTS.c.key == key, ~_is_expired(now))).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        raise RequestReusedError("This request_id was used for another content within 24 h; use a new one.")
    return str(row.result)


def remember(connection: Connection, answers: Sequence[tuple[Idempotency | None, str]], now: int) -> None:
    """Remember the answer to each request that has an id, and delete some expired ones."""
    rows = [
        {"key": _key(request), "fingerprint": request.fingerprint, "result": result, "at": now}
        for request, result in answers
        if request is not None
    ]
    if rows:
        # Rows that another transaction is deleting are skipped: two would wait for each other's rows.
        # Only some are deleted at a time: after a busy day there are millions, and this call waits for it.
        expired = select(REQUESTS.c.key).where(_is_expired(now)).limit(_MAX_DELETED)
        free = expired.with_for_update(skip_locked=True)
        connection.execute(delete(REQUESTS).where(REQUESTS.c.key.in_(free)))
        connection.execute(insert(REQUESTS), rows)


def _is_expired(now: int) -> ColumnElement[bool]:
    return REQUESTS.c.at <= now - KEPT_SECONDS


def _key(request: Idempotency) -> bytes:
    return hashlib.sha256(request.key).digest()
