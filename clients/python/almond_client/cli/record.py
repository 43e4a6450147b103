"""A token's record as it is shown: for machines, for people, and its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almond_client.cli import screen

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from almond.v1 import token_pb2


def state(record: token_pb2.TokenRecord, now: float) -> str:
    """Return `revoked`, `expired` or `live`; `now` in unix seconds."""
    if record.HasField("revoke_time"):
        return "revoked"
    if record.HasField("expire_time") and record.expire_time.seconds <= now:
        return "expired"
    return "live"


def as_json(record: token_pb2.TokenRecord, now: float) -> dict[str, Any]:
    """Return everything, with times in RFC 3339 and null for what is not so."""
    return {
        "id": record.id,
        "name": record.name,
        "kind": record.kind,
        "org": record.org,
        "app": record.app,
        "subject": record.subject,
        "state": state(record, now),
        "created_at": screen.moment(record.create_time.seconds),
        "expires_at": _optional(record.HasField("expire_time"), record.expire_time),
        "revoked_at": _optional(record.HasField("revoke_time"), record.revoke_time),
        "revoked_by": record.revoked_by,
        "reason": record.revoke_reason,
        "minter": record.minter_token_id,
        "minter_branch_ids": list(record.minter_branch_ids),
        "caveats": list(record.caveats),
        "summary": record.summary,
    }


def _optional(there: bool, time: Timestamp) -> str | None:
    return screen.moment(time.seconds) if there else None


def row(record: token_pb2.TokenRecord, now: float) -> list[str]:
    """Return the cells of a table: id, name, kind, app, subject, created, expires, state."""
    expires = screen.day_and_time(record.expire_time.seconds) if record.HasField("expire_time") else "never"
    cells = [
        record.id,
        record.name,
        record.kind,
        record.app or "-",
        record.subject or "-",
        screen.day_and_time(record.create_time.seconds),
        expires,
        state(record, now),
    ]
    return [screen.clean(each) for each in cells]
