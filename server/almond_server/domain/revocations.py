"""Revocations of tokens, branches and many tokens at once, and the changes and readings of a store.

Immutable values, which know no store. Times are unix seconds unless the name says milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import TYPE_CHECKING, Final, Self, TypeAlias, cast

from almond_core.caveats.valid import END_OF_TIME
from almond_core.model import RESERVED_ORG, is_id
from almond_server.errors import TokenInUseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond_server.domain.records import Record

KEPT_SECONDS: Final = 24 * 3600
"""How long an entry is kept after the end of its token, by the store's time."""

LINKED_SECONDS: Final = 48 * 3600
"""How long a revision is kept, by the store's time. A reader that was away for longer reads all entries."""

MAX_ENTRIES: Final = 10_000
"""The maximum number of entries in one revision of a bulk revocation.

A reader of a change holds all of it in memory, and other writers wait until it is written.
"""


@dataclass(frozen=True, slots=True)
class Revocation:
    """The revocation of a whole token (`branch_id` is None), or of a branch and all that derives from it."""

    token_id: str
    branch_id: bytes | None
    ends_at: int | None
    """When the token expires anyway; None if never."""

    @classmethod
    def from_json(cls, token_id: object, branch_id: object, ends_at: object) -> Self:
        """Read the three values of `to_json`; raises `ValueError` or `TypeError` for anything else."""
        if type(token_id) is not str or type(ends_at) not in {int, NoneType}:
            raise TypeError
        if branch_id is not None and type(branch_id) is not str:
            raise TypeError
        branch = None if branch_id is None else bytes.fromhex(branch_id)
        return cls(token_id, branch, cast("int | None", ends_at))

    def to_json(self) -> list[str | int | None]:
        """Return token id, branch id in hex or None, and end or None, as one row of JSON."""
        return [self.token_id, None if self.branch_id is None else self.branch_id.hex(), self.ends_at]


def check_unused(record: Record | None, since: int) -> None:
    """Raise `TokenInUseError` unless the record is of a token that is unused since a time, or revoked."""
    is_revoked = record is not None and record.revoked_at is not None
    if record is None or not (is_revoked or record.is_unused_since(since)):
        raise TokenInUseError


class Scope(StrEnum):
    """The kinds of targets that cut-offs have."""

    ORG = "org"
    SUBJECT = "subject"
    KEY = "key"


CutOffTarget: TypeAlias = tuple[Scope, str]
"""The target of a cut-off: a scope, and the name of an org or subject or the id of a key in it."""


def org_target(home_org: str) -> CutOffTarget | None:
    """Return the target of the cut-off that covers the tokens of a home org; None for the reserved org."""
    return None if home_org == RESERVED_ORG else (Scope.ORG, home_org)


@dataclass(frozen=True, slots=True)
class CutOff:
    """The revocation of many tokens at once: those of an org, a subject or a key issued until a time.

    A cut-off of an org denies accesses on that org only, and none of a token of the reserved org.
    """

    scope: Scope
    name: str
    until_ms: int | None
    """The latest issue time that it covers. None, for keys only, covers tokens of any issue time."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for a cut-off that no store can hold."""
        is_timed = self.until_ms is not None and 0 <= self.until_ms < END_OF_TIME * 1000
        if not self.name or is_timed == (self.scope is Scope.KEY) or (self.until_ms is not None) != is_timed:
            message = "a cut-off has a name; an org's or a subject's has a time, a key's has none"
            raise ValueError(message)

    @classmethod
    def from_json(cls, scope: object, name: object, until_ms: object) -> Self:
        """Read the three values of `to_json`; raises `ValueError` or `TypeError` for anything else."""
        if type(scope) is not str or type(until_ms) not in {int, NoneType}:
            raise TypeError
        if type(name) is not str or not is_id(name):
            message = "the name of a cut-off is an id"
            raise ValueError(message)
        return cls(Scope(scope), name, cast("int | None", until_ms))

    def to_json(self) -> list[str | int | None]:
        """Return scope, name and time or None, as one row of JSON."""
        return [self.scope, self.name, self.until_ms]

    @property
    def target(self) -> CutOffTarget:
        """The scope and name. Of several cut-offs with the same target, only the highest counts."""
        return self.scope, self.name

    def is_above(self, other: CutOff | None) -> bool:
        """Return whether it covers more tokens than another cut-off of the same target, or than none."""
        if other is None or self.until_ms is None or other.until_ms is None:
            return other is None
        return self.until_ms > other.until_ms

    def covers(self, issued_at_ms: int) -> bool:
        """Return whether it covers the issue time of a token of its target."""
        return self.until_ms is None or issued_at_ms <= self.until_ms


def highest(cut_offs: Iterable[CutOff]) -> dict[CutOffTarget, CutOff]:
    """Return the highest cut-off of each target."""
    found: dict[CutOffTarget, CutOff] = {}
    for each in cut_offs:
        if each.is_above(found.get(each.target)):
            found[each.target] = each
    return found


@dataclass(frozen=True, slots=True)
class RecordedCutOff:
    """A cut-off as a store records it: with its revision, and when, by whom and why it was made."""

    cut_off: CutOff
    revision: int
    at: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """The entries that one transaction added, except those pruned since. Numbers have no gaps in an epoch.

    The random `mark` distinguishes it from a change that got the same number after a restore of the database.
    `before` is the mark of the previous change.
    """

    number: int
    mark: bytes
    before: bytes
    revocations: tuple[Revocation, ...]
    cut_offs: tuple[CutOff, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of the store: epoch, newest revision with its mark, and the time, which never goes back."""

    epoch: str
    number: int
    mark: bytes
    store_time: int


@dataclass(frozen=True, slots=True)
class RevokeReceipt:
    """The result of a revocation: how many entries it added, and the revision at which all are visible."""

    entries: int
    epoch: str
    number: int
    is_all: bool = True
    """Whether all that was requested is revoked."""
