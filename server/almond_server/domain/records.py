"""The records of minted and derived tokens, and which of them go together.

Immutable values; must not know who keeps them. Times are unix seconds unless the name says milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from almond_core import base64url
from almond_core.crypto import BRANCH_ID_BYTES
from almond_core.errors import FieldError

MAX_DERIVED: Final = 1000
"""How many derived tokens of one minted token can have records."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a minted token, or of a registered derived one: everything but its secret text."""

    token_id: str
    key_id: str
    name: str
    kind: str
    org: str
    app: str
    subject: str
    minter_token_id: str
    minter_branch_ids: tuple[bytes, ...]
    created_at_ms: int
    expires_at: int | None
    caveats: tuple[bytes, ...]
    revoked_at: int | None = None
    revoked_by: str = ""
    revoke_reason: str = ""
    last_used_at: int | None = None
    lineage: tuple[bytes, ...] = ()
    """Of a derived token: the branch ids of all its generations, its own last. Empty for a minted one."""

    parent: str = ""
    """Of a derived token: the id of its nearest ancestor that had a record when it was registered."""

    @property
    def branch_id(self) -> bytes | None:
        """The branch id of a derived token; None for a minted one."""
        return self.lineage[-1] if self.lineage else None

    @property
    def id(self) -> str:
        """What it is listed by: the token id, of a derived token with its branch id."""
        return record_id(self.token_id, self.branch_id)


def record_id(token_id: str, branch_id: bytes | None) -> str:
    """Write the id of a record: `TOKEN_ID`, or `TOKEN_ID/BRANCH_ID` in base64url."""
    if branch_id is None:
        return token_id
    return f"{token_id}/{base64url.encode(branch_id)}"


@dataclass(frozen=True, slots=True)
class Use:
    """That a token was used at `at`, a whole minute. `branch_ids` are those of its whole lineage."""

    token_id: str
    branch_ids: tuple[bytes, ...]
    at: int


def branch_id_of(field: str, text: str) -> bytes:
    """Read a branch id: 16 bytes in 22 characters of base64url; raises `FieldError` that names `field`."""
    try:
        raw = base64url.decode(text)
    except ValueError:
        raw = b""
    if len(raw) != BRANCH_ID_BYTES:
        raise FieldError(field, "a branch id: 22 characters of base64url, as Verify and Inspect show them")
    return raw
