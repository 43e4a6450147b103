"""The records of minted and derived tokens.

Immutable values, which know no store. Times are unix seconds unless the name says milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from almond_core import base64url
from almond_core.crypto import BRANCH_ID_BYTES
from almond_core.errors import FieldError

USE_SECONDS: Final = 60
"""Uses are recorded to the minute, rounded down: a token was last used within these many seconds after."""

MAX_DERIVED: Final = 1000
"""The maximum number of derived tokens of one minted token that can have records."""


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a minted token, or of a registered derived one: everything but its secret text."""

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
    """For a derived token the branch ids of all its generations, its own last; empty for a minted token."""

    parent: str = ""
    """For a derived token the id of its nearest ancestor that had a record when it was registered."""

    successor: str = ""
    """The id of the token that was minted to succeed this one; empty if none was."""

    revoke_due: int | None = None
    """When it is revoked because it was rotated, by the store's time; None if it was not rotated."""

    @property
    def branch_id(self) -> bytes | None:
        """The branch id of a derived token; None for a minted one."""
        return self.lineage[-1] if self.lineage else None

    @property
    def position(self) -> tuple[int, str]:
        """Where it stands in a list: lists are ordered by this, the highest first."""
        return self.created_at_ms, self.id

    def is_unused_since(self, time: int) -> bool:
        """Return whether it was created before `time` and surely not used since, as far as is recorded."""
        is_older = self.created_at_ms < time * 1000
        return is_older and (self.last_used_at is None or self.last_used_at + USE_SECONDS <= time)

    @property
    def id(self) -> str:
        """The id of the record: the token id, for a derived token followed by its branch id."""
        return record_id(self.token_id, self.branch_id)


def record_id(token_id: str, branch_id: bytes | None) -> str:
    """Return the id of a record: `TOKEN_ID`, or `TOKEN_ID/BRANCH_ID` with the branch id in base64url."""
    if branch_id is None:
        return token_id
    return f"{token_id}/{base64url.encode(branch_id)}"


@dataclass(frozen=True, slots=True)
class Use:
    """The use of a token at `at`, a whole minute. `branch_ids` are those of its whole lineage."""

    token_id: str
    branch_ids: tuple[bytes, ...]
    at: int


def branch_id_of(field: str, text: str) -> bytes:
    """Return the 16 bytes of a branch id from its 22 characters of base64url.

    Raises `FieldError` that names `field` for other text.
    """
    try:
        raw = base64url.decode(text)
    except ValueError:
        raw = b""
    if len(raw) != BRANCH_ID_BYTES:
        raise FieldError(field, "a branch id: 22 characters of base64url, as Verify and Inspect show them")
    return raw
