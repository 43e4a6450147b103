"""What was answered to requests with an id, so that a retry gets the same answer. Kept for 24 hours."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, delete, insert, select

from almond_server.adapters.sql import locks
from almond_server.adapters.sql.tables import REQUESTS
from almond_server.errors import RequestReusedError

if TYPE_CHECKING:
    from almond_server.ports import Idempotency

KEPT_SECONDS: Final = 24 * 3600


def answered(connection: Connection, request: Idempotency | None, now: int) -> str | None:
    """Return what was answered to the request before, or None; forgets what is over.

    Whoever asks with the same id at the same time waits until this transaction is over.

    Raises `RequestReusedError` if its content was another.
    """
    over = REQUESTS.c.at <= now - KEPT_SECONDS
    # What another transaction forgets just now is left to it: two would wait for each other's rows.
    taken = select(REQUESTS.c.key).where(over).with_for_update(skip_locked=True)
    connection.execute(delete(REQUESTS).where(REQUESTS.c.key.in_(taken)))
    if request is None:
        return None
    key = _key(request)
    locks.exclude(connection, int.from_bytes(key[:8], "big", signed=True))
    row = connection.execute(select(REQUESTS).where(REQUESTS.c.key == key, ~over)).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        raise RequestReusedError("This request_id was used for another content within 24 h; use a new one.")
    return str(row.result)


def remember(connection: Connection, request: Idempotency | None, result: str, now: int) -> None:
    """Keep what was answered."""
    if request is not None:
        values = {"key": _key(request), "fingerprint": request.fingerprint, "result": result, "at": now}
        connection.execute(insert(REQUESTS).values(values))


def _key(request: Idempotency) -> bytes:
    return hashlib.sha256(request.key).digest()
