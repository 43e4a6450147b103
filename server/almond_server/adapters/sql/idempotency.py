"""What was answered to requests with an id, so that a retry gets the same answer. Kept for 24 hours."""

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
_FORGOTTEN_AT_ONCE: Final = 1000


def answered(connection: Connection, request: Idempotency | None, now: int) -> str | None:
    """Return what was answered to the request before, or None.

    Whoever asks with the same id at the same time waits until this transaction is over.

    Raises `RequestReusedError` if its content was another.
    """
    if request is None:
        return None
    key = _key(request)
    locks.exclude(connection, int.from_bytes(key[:8], "big", signed=True))
    row = connection.execute(select(REQUESTS).where(REQUESTS.c.key == key, ~_over(now))).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        raise RequestReusedError("This request_id was used for another content within 24 h; use a new one.")
    return str(row.result)


def remember(connection: Connection, answers: Sequence[tuple[Idempotency | None, str]], now: int) -> None:
    """Keep what was answered to each request, if it is one; forget some of what is over."""
    rows = [
        {"key": _key(request), "fingerprint": request.fingerprint, "result": result, "at": now}
        for request, result in answers
        if request is not None
    ]
    if rows:
        # What another transaction forgets just now is left to it: two would wait for each other's rows.
        # Some at a time: after a busy day there are millions, and who remembers one waits for it.
        over = select(REQUESTS.c.key).where(_over(now)).limit(_FORGOTTEN_AT_ONCE)
        taken = over.with_for_update(skip_locked=True)
        connection.execute(delete(REQUESTS).where(REQUESTS.c.key.in_(taken)))
        connection.execute(insert(REQUESTS), rows)


def _over(now: int) -> ColumnElement[bool]:
    return REQUESTS.c.at <= now - KEPT_SECONDS


def _key(request: Idempotency) -> bytes:
    return hashlib.sha256(request.key).digest()
