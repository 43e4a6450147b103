"""What is revoked: tokens, branches and cut-offs, and the revisions and readings that tell of them.

Immutable values; must not know who keeps them. Times are unix seconds unless the name says milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import TYPE_CHECKING, Final, Self, TypeAlias, cast

from almond_core.caveats.valid import END_OF_TIME
from almond_core.model import is_id

if TYPE_CHECKING:
    from collections.abc import Iterable


KEPT_SECONDS: Final = 24 * 3600
"""How long an entry outlives its token's end, by the store's time."""

LINKED_SECONDS: Final = 48 * 3600
"""How long a reader may have been away and still be told the changes since, by the store's time."""

MOST_AT_ONCE: Final = 10_000
"""How many entries one revision of a wide revocation has: who reads a change holds all of it, and whoever
else writes waits for it."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """A token revoked whole (`branch_id` is None), or one branch of it with all derived from it."""

    token_id: str
    branch_id: bytes | None
    ends_at: int | None
    """When the token is over anyway, in unix seconds; None if never."""

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


class Scope(StrEnum):
    """What a cut-off is about."""

    ORG = "org"
    SUBJECT = "subject"
    KEY = "key"


CutOffTarget: TypeAlias = tuple[Scope, str]
"""What a cut-off revokes: the scope, and the name of the org or subject or the id of the key."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """Many tokens revoked at once: those of an org or a subject issued at `until_ms` or before.

    An org's denies accesses on that org alone, and none of a token whose home org is the reserved one.
    """

    scope: Scope
    name: str
    until_ms: int | None
    """Unix milliseconds; None, of a key alone, is every token made with it, whatever time it claims."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for what no store holds."""
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
        """Its scope and name: of cut-offs with the same target, only the highest counts."""
        return self.scope, self.name

    def is_above(self, other: CutOff | None) -> bool:
        """Tell whether it says more than another one of the same scope and name, or than none."""
        if other is None or self.until_ms is None or other.until_ms is None:
            return other is None
        return self.until_ms > other.until_ms

    def covers(self, issued_at_ms: int) -> bool:
        """Tell whether a token of its org, subject or key falls under it, by its issue time."""
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
    """A cut-off as a store records it: under which revision, when, by whom and why it was made."""

    cut_off: CutOff
    revision: int
    at: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction revoked, perhaps without what was pruned since. Numbers have no gaps in an epoch.

    The random `mark` tells it from a change that got the same number after a restore of the database;
    `before` is the mark of the change before it.
    """

    number: int
    mark: bytes
    before: bytes
    revocations: tuple[Revocation, ...]
    cut_offs: tuple[CutOff, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the store: its epoch, newest revision with its mark, and time (never going back)."""

    epoch: str
    number: int
    mark: bytes
    store_time: int


@dataclass(frozen=True, slots=True)
class RevokeReceipt:
    """What a revocation did: how many entries it added, and the revision at which all of it is visible."""

    entries: int
    epoch: str
    number: int
    is_all: bool = True
    """Whether nothing that was asked for is left."""
