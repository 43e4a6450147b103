"""The records of minted and derived tokens, and which of them go together.

Immutable values; must not know who keeps them. Times are unix seconds unless the name says milliseconds.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from almond_core.model import RESERVED_ORG
from almond_server.withdrawal import Scope

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
    return f"{token_id}/{base64.urlsafe_b64encode(branch_id).decode().rstrip('=')}"


@dataclass(frozen=True, slots=True)
class Use:
    """That a token was used at `at`, a whole minute. `branch_ids` are those of its whole lineage."""

    token_id: str
    branch_ids: tuple[bytes, ...]
    at: int


@dataclass(frozen=True, slots=True)
class MintedBy:
    """What a token minted (only its branch `branch_id` and what derives from that, unless None)."""

    token_id: str
    branch_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class OfSubject:
    """The tokens that speak for a subject."""

    subject: str


@dataclass(frozen=True, slots=True)
class OfApp:
    """The tokens whose record names an app."""

    org: str
    app: str


@dataclass(frozen=True, slots=True)
class OfOrg:
    """The tokens whose home org it is."""

    org: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Minted tokens that go together. Of `MintedBy` and `OfSubject`, what they minted goes too, recursively.

    `issued_before_ms` (None: no bound) is about the first level only.
    """

    of: MintedBy | OfSubject | OfApp | OfOrg
    issued_before_ms: int | None = None

    @property
    def is_recursive(self) -> bool:
        """Whether what the selected tokens minted is selected with them."""
        return isinstance(self.of, MintedBy | OfSubject)

    @property
    def cut_off(self) -> tuple[Scope, str] | None:
        """The scope and name of the cut-off that withdraws its first level; None where records do.

        The reserved org's do: no org's cut-off is about its tokens.
        """
        match self.of:
            case OfOrg(org) if org != RESERVED_ORG:
                return Scope.ORG, org
            case OfSubject(subject):
                return Scope.SUBJECT, subject
            case _:
                return None


@dataclass(frozen=True, slots=True)
class Listing:
    """Which records to list: of one home org, perhaps of one app; live ones only unless `show_all`."""

    org: str
    app: str | None
    show_all: bool
    now: int
