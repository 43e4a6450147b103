"""Selections of records: those to revoke together, and those to list.

Immutable values. Times are unix seconds unless the name says milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from almond_server.domain.revocations import CutOffTarget, Scope, org_target

if TYPE_CHECKING:
    from almond_server.domain.records import Record


@dataclass(frozen=True, slots=True)
class MintedBy:
    """The tokens that a token minted; with a `branch_id`, that branch and what derives from it only."""

    token_id: str
    branch_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class OfSubject:
    """The tokens that speak for a subject."""

    subject: str


@dataclass(frozen=True, slots=True)
class OfApp:
    """The tokens of an app, by their records."""

    org: str
    app: str


@dataclass(frozen=True, slots=True)
class OfOrg:
    """The tokens of a home org."""

    org: str


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of minted tokens. `MintedBy` and `OfSubject` include what those minted, recursively.

    `issued_before_ms` (None: no bound) applies to the first level only.
    """

    of: MintedBy | OfSubject | OfApp | OfOrg
    issued_before_ms: int | None = None

    @property
    def is_recursive(self) -> bool:
        """Whether the tokens that the selected ones minted are selected too."""
        return isinstance(self.of, MintedBy | OfSubject)

    @property
    def cut_off(self) -> CutOffTarget | None:
        """The target of the cut-off that revokes the first level; None if each token is revoked by itself.

        The reserved org has none, because its tokens fall under no cut-off of an org.
        """
        match self.of:
            case OfOrg(org):
                return org_target(org)
            case OfSubject(subject):
                return Scope.SUBJECT, subject
            case _:
                return None


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """What else records must be to be listed; an empty string or None is no condition."""

    kind: str = ""
    name: str = ""
    subject: str = ""
    minted_by: str = ""
    """The id of the token that minted them itself. Derived tokens were not minted."""

    expires_before: int | None = None
    unused_since: int | None = None
    """As `Record.is_unused_since`."""

    def matches(self, record: Record) -> bool:
        """Return whether a record satisfies all conditions."""
        expires_before, unused_since = self.expires_before, self.unused_since
        return (
            self.kind in {"", record.kind}
            and self.name in {"", record.name}
            and self.subject in {"", record.subject}
            and (not self.minted_by or (self.minted_by == record.minter_token_id and not record.lineage))
            and (
                expires_before is None
                or (record.expires_at is not None and record.expires_at < expires_before)
            )
            and (unused_since is None or record.is_unused_since(unused_since))
        )


NO_FILTER: Final = RecordFilter()


@dataclass(frozen=True, slots=True)
class Listing:
    """The records to list: of one home org, perhaps of one app; only live ones unless `show_all`."""

    org: str
    app: str | None
    show_all: bool
    now: int
    filter: RecordFilter = NO_FILTER
