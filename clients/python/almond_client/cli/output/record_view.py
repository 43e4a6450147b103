"""Says what the records of tokens contain: the JSON for programs, the state, and the permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from almond_client.cli.output import console
from almond_client.review import org_text, review
from almond_core import wire

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from almond.v1 import token_pb2

_MINUTE: Final = 60


def state(record: token_pb2.TokenRecord, now: float) -> str:
    """Return `revoked`, `expired` or `live`; `now` in unix seconds."""
    if record.HasField("revoke_time"):
        return "revoked"
    if record.HasField("expire_time") and record.expire_time.seconds <= now:
        return "expired"
    return "live"


def state_in_words(record: token_pb2.TokenRecord, now: float) -> str:
    """Return the state, and of a live token that was rotated also that, as it is revoked before its end."""
    found = state(record, now)
    return f"{found}, rotated" if found == "live" and record.HasField("revoke_due_time") else found


def last_use(record: token_pb2.TokenRecord) -> int | None:
    """Return when a token was last used, in unix seconds and to the minute; None if never.

    The service rounds down. In the minute in which the token was made, that would be before it was made.
    """
    if not record.HasField("last_use_time"):
        return None
    used, created = record.last_use_time.seconds, record.create_time.seconds
    return created if used < created < used + _MINUTE else used


def as_json(record: token_pb2.TokenRecord, now: float) -> dict[str, Any]:
    """Return a record for programs, with times in RFC 3339 and null for those that are not set."""
    used = last_use(record)
    return {
        "id": record.id,
        "name": record.name,
        "kind": record.kind,
        "org": record.org,
        "app": record.app,
        "subject": record.subject,
        "state": state(record, now),
        "created_at": console.rfc3339(record.create_time.seconds),
        "expires_at": _optional(record.HasField("expire_time"), record.expire_time),
        "revoked_at": _optional(record.HasField("revoke_time"), record.revoke_time),
        "revoked_by": record.revoked_by,
        "reason": record.revoke_reason,
        "last_used_at": None if used is None else console.rfc3339(used),
        "successor": record.successor_id,
        "revoke_due_at": _optional(record.HasField("revoke_due_time"), record.revoke_due_time),
        "branch_id": record.branch_id,
        "parent": record.parent_id,
        "minter": record.minter_token_id,
        "minter_branch_ids": list(record.minter_branch_ids),
        "caveats": list(record.caveats),
        "summary": record.summary,
    }


def _optional(is_set: bool, time: Timestamp) -> str | None:
    return console.rfc3339(time.seconds) if is_set else None


def permissions(record: token_pb2.TokenRecord, now: float) -> str:
    """Return what the token of a record may do, on one line; `now` in unix seconds."""
    reviewed = review([wire.first_party(each.encode()) for each in record.caveats], int(now))
    if reviewed.permissions is None:
        return record.summary
    by_org: dict[str, list[str]] = {}
    for each in reviewed.permissions:
        by_org.setdefault(org_text(each.org), []).append(str(each))
    left = [f"{org}: {', '.join(targets)}" for org, targets in by_org.items()] or ["nothing at all"]
    return "; ".join((*left, *reviewed.conditions))
