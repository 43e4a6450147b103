"""Converts records to rows of the table of tokens, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from almond_core.crypto import BRANCH_ID_BYTES
from almond_server.domain.records import Record

if TYPE_CHECKING:
    from sqlalchemy import Row


def values_of(record: Record) -> dict[str, Any]:
    """Return the values of a record's row."""
    return {
        "id": record.id,
        "key_id": record.key_id,
        "name": record.name,
        "kind": record.kind,
        "org": record.org,
        "app": record.app,
        "subject": record.subject,
        "minter_id": record.minter_token_id,
        "minter_branches": b"".join(record.minter_branch_ids),
        "created_at_ms": record.created_at_ms,
        "expires_at": record.expires_at,
        "caveats": json.dumps([raw.decode() for raw in record.caveats], ensure_ascii=False),
        "revoked_at": record.revoked_at,
        "revoked_by": record.revoked_by,
        "revoke_reason": record.revoke_reason,
        "token_id": record.token_id,
        "lineage": b"".join(record.lineage) or None,
        "parent": record.parent,
        "last_used_at": record.last_used_at,
        "successor": record.successor,
        "revoke_due": record.revoke_due,
    }


def record_of(row: Row[Any]) -> Record:
    """Return the record of a row."""
    return Record(
        token_id=row.token_id,
        key_id=row.key_id,
        name=row.name,
        kind=row.kind,
        org=row.org,
        app=row.app,
        subject=row.subject,
        minter_token_id=row.minter_id,
        minter_branch_ids=branches_of(row.minter_branches),
        created_at_ms=row.created_at_ms,
        expires_at=row.expires_at,
        caveats=tuple(text.encode() for text in json.loads(row.caveats)),
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        revoke_reason=row.revoke_reason,
        last_used_at=row.last_used_at,
        lineage=branches_of(row.lineage),
        parent=row.parent,
        successor=row.successor,
        revoke_due=row.revoke_due,
    )


def branches_of(joined: bytes | None) -> tuple[bytes, ...]:
    """Return the branch ids of a concatenation of them; None is the empty one."""
    raw = joined or b""
    return tuple(raw[start : start + BRANCH_ID_BYTES] for start in range(0, len(raw), BRANCH_ID_BYTES))
