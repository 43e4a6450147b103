"""One entry of the feed as bytes, with its proof: anybody may write to Redis, only servers know the key.

The proof covers epoch, number and withdrawals, so that no entry can be made up or moved. An old one can be
repeated; readers know its number already.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any, Final

from almond_core import crypto
from almond_server.ports import Change, Withdrawal

if TYPE_CHECKING:
    from collections.abc import Mapping

_LABEL: Final = b"almond/v1/feed-entry\x00"
_CHANGE: Final = b"change"
_PROOF: Final = b"proof"


def encode(feed_key: bytes, epoch: str, change: Change) -> dict[bytes, bytes]:
    """Write an entry's fields."""
    withdrawals = [
        [each.token_id, None if each.branch_id is None else each.branch_id.hex(), each.ends_at]
        for each in change.withdrawals
    ]
    body = json.dumps([epoch, change.number, withdrawals], separators=(",", ":")).encode()
    return {_CHANGE: body, _PROOF: _proof(feed_key, body)}


def decode(feed_key: bytes, fields: Mapping[bytes, bytes]) -> tuple[str, Change] | None:
    """Read an entry's fields: (epoch, change), or None if it is not genuine or has another form."""
    body = fields.get(_CHANGE, b"")
    if not crypto.same(fields.get(_PROOF, b""), _proof(feed_key, body)):
        return None
    try:
        return _parse(json.loads(body))
    except (ValueError, TypeError):
        return None


def _parse(value: Any) -> tuple[str, Change]:
    epoch, number, rows = value
    withdrawals = tuple(_withdrawal(*row) for row in rows)
    if not isinstance(epoch, str) or not isinstance(number, int):
        raise TypeError
    return epoch, Change(number, withdrawals)


def _withdrawal(token_id: Any, branch_id: Any, ends_at: Any) -> Withdrawal:
    if not isinstance(token_id, str) or not isinstance(ends_at, int | None):
        raise TypeError
    return Withdrawal(token_id, None if branch_id is None else bytes.fromhex(branch_id), ends_at)


def _proof(feed_key: bytes, body: bytes) -> bytes:
    return hmac.digest(feed_key, _LABEL + body, "sha256")
