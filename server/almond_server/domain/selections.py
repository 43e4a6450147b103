"""Selections say which records are meant: those to revoke together, and those to list.

Immutable values. Times are unix seconds unless the name says milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from almond_server.domain.cut_off_rules import org_target
from almond_server.domain.revocations import CutOffTarget, Scope


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
    def cut_off(self) -> CutOffTarget | None:
        """The target of the cut-off that revokes its first level; None where each token is revoked by itself.

        The reserved org's are: its tokens fall under no cut-off of an org.
        """
        match self.of:
            case OfOrg(org):
                return org_target(org)
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
