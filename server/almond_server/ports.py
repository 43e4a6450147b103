"""What the service keeps and follows, and what every adapter of it owes.

One contract suite (tests/contract) runs over all adapters. Obligations common to all ports:

* Every method may raise `StoreUnavailableError` (feed: `FeedUnavailableError`). It has then changed nothing,
  unless the connection broke during the very commit: asked again under its request id, it answers as it
  would have.
* A mutating method is one transaction: all of it, its audit row included, or nothing; when it returns, it is
  durable. A cancelled caller does not stop a transaction that has begun.
* Answers are immutable values. Times are unix seconds in UTC unless the name says milliseconds.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from almond_core.caveats.valid import END_OF_TIME
from almond_core.model import RESERVED_ORG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KEPT_SECONDS: Final = 24 * 3600
"""How long an entry outlives its token's end, by the store's time."""

LINKED_SECONDS: Final = 48 * 3600
"""How long a reader may have been away and still be told the changes since, by the store's time."""

MAX_DERIVED: Final = 1000
"""How many derived tokens of one minted token can have records."""


class RevisionForgottenError(Exception):
    """The store no longer knows which change a revision was; what it holds can only be read as a whole."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: the verified lineage of a caller's token. Local operators have no lineage."""

    name: str
    """What the audit log calls it: a token id, or `operator` for the local command line."""

    token_id: str = ""
    key_id: str = ""
    branch_ids: tuple[bytes, ...] = ()
    subject: str = ""
    home_org: str = ""
    issued_at_ms: int = 0
    orgs: tuple[str, ...] = ()
    """On which orgs it acts by this call: what it makes is for them."""

    @property
    def cut_off_orgs(self) -> frozenset[str]:
        """The orgs whose cut-offs stop it: none of a token of the reserved org."""
        if self.home_org == RESERVED_ORG:
            return frozenset()
        return frozenset({self.home_org, *self.orgs}) - {"", RESERVED_ORG}


@dataclass(frozen=True, slots=True)
class Idempotency:
    """One request of one caller. `key` names caller, method and request id; `fingerprint` its content."""

    key: bytes
    fingerprint: bytes


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
class ExpiryRule:
    """How long tokens of `kind` (`*` for every kind) of `org` may live, in seconds; None is not set."""

    org: str
    kind: str
    default_ttl: int | None
    max_ttl: int | None


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
class Withdrawal:
    """A token withdrawn whole (`branch_id` is None), or one branch of it with all derived from it."""

    token_id: str
    branch_id: bytes | None
    ends_at: int | None
    """When the token is over anyway, in unix seconds; None if never."""


class Scope(StrEnum):
    """What a cut-off is about."""

    ORG = "org"
    SUBJECT = "subject"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class CutOff:
    """Many tokens withdrawn at once: those of an org or a subject issued at `until_ms` or before.

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

    def is_above(self, other: CutOff | None) -> bool:
        """Tell whether it says more than another one of the same scope and name, or than none."""
        if other is None or self.until_ms is None or other.until_ms is None:
            return other is None
        return self.until_ms > other.until_ms

    def covers(self, issued_at_ms: int) -> bool:
        """Tell whether a token of its org, subject or key falls under it, by its issue time."""
        return self.until_ms is None or issued_at_ms <= self.until_ms


def highest(cut_offs: Iterable[CutOff]) -> dict[tuple[Scope, str], CutOff]:
    """Return of each scope and name the cut-off that says most."""
    found: dict[tuple[Scope, str], CutOff] = {}
    for each in cut_offs:
        if each.is_above(found.get((each.scope, each.name))):
            found[each.scope, each.name] = each
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction withdrew, perhaps without what was pruned since. Numbers have no gaps in an epoch.

    The random `mark` tells it from a change that got the same number after a restore of the database;
    `before` is the mark of the change before it.
    """

    number: int
    mark: bytes
    before: bytes
    withdrawals: tuple[Withdrawal, ...]
    cut_offs: tuple[CutOff, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the store: its epoch, newest revision with its mark, and time (never going back)."""

    epoch: str
    number: int
    mark: bytes
    store_time: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What a withdrawal did: how many entries it added, and the revision at which all of it is visible."""

    entries: int
    epoch: str
    number: int


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key of the ring, sealed under the master key. Tokens are minted with the newest one."""

    key_id: str
    sealed: bytes = field(repr=False)
    created_at: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing that was done. `revision` is 0 where nothing was withdrawn."""

    at: int
    actor: str
    action: str
    target: str
    detail: str
    revision: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Which records to list: of one home org, perhaps of one app; live ones only unless `show_all`."""

    org: str
    app: str | None
    show_all: bool
    now: int


class Tokens(Protocol):
    """The records of minted tokens. Those under a cut-off are read as revoked by it."""

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        """Record a token just made and return the record that stands.

        In the same transaction, first: if anything of the actor's (its token, one of its branch ids, its key,
        its subject or an org that it acts on) has been withdrawn, raise `MinterWithdrawnError`. Then: if
        `request` was used by this method within 24 h, return the record of that time (`RequestReusedError` if
        its fingerprint differs). Then: if the record falls under a cut-off of its subject, its org or an org
        that the actor acts on, raise `IssuedTooEarlyError`. Audited as `token.minted`, target the token id.
        """
        ...

    async def answered(self, request: Idempotency, now: int) -> Record | None:
        """Return the record that `add` answered to `request` within 24 h, or None; `RequestReusedError`."""
        ...

    async def add_derived(self, record: Record, actor: Actor, now: int) -> Record:
        """Record a derived token, under its nearest recorded ancestor, and return the record that stands.

        In the same transaction, first: if anything of the actor's (as in `add`) or of the derived token's own
        has been withdrawn, raise `MinterWithdrawnError`; if the token it derives from has no record,
        `RecordNotFoundError`; if that has `MAX_DERIVED` derived records, `TooManyDerivedError`. One that is
        recorded already is returned as it stands. `record.parent` is filled in. Audited as
        `token.registered`, target its id.
        """
        ...

    async def get(self, record_id: str) -> Record | None:
        """Return one record by its id, or None if there is none."""
        ...

    async def select(self, selection: Selection, now: int, most: int | None = None) -> Sequence[Record]:
        """Return the records of a selection that are neither revoked nor expired, newest first.

        Only the newest `most`, unless None.
        """
        ...

    async def places(self, selection: Selection, now: int) -> frozenset[tuple[str, str]]:
        """Return (org, app) of all records that `select` would return."""
        ...

    async def note_uses(self, uses: Sequence[Use]) -> None:
        """Keep when tokens were last used: on the minted token's record and those of its lineage.

        The greatest time wins. Not audited.
        """
        ...

    async def page(self, listing: Listing, after: tuple[int, str] | None, limit: int) -> Sequence[Record]:
        """Return up to `limit` records, newest first, that come after (`created_at_ms`, id)."""
        ...

    async def home_orgs(self, token_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the home orgs of those tokens that have a record; empty is several orgs."""
        ...


class Revocations(Protocol):
    """What has been withdrawn, durably, in the order of commits."""

    async def withdraw(
        self,
        withdrawals: Sequence[Withdrawal],
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
        cut_offs: Sequence[CutOff] = (),
    ) -> Withdrawn:
        """Withdraw, durably, under one new revision.

        An entry that stands already, or whose token is withdrawn whole, is not added again; if nothing is
        left, no revision is used up and the newest reading is returned. The records of what is withdrawn, and
        of what was derived from it, get their `revoked_*` filled, once. If `request` was used by this method
        within 24 h, the answer of that time is returned (`RequestReusedError` if its fingerprint differs).
        Audited as `token.revoked`, target the token id (and `/branch` in hex), detail the reason.

        A cut-off that is not above the standing one of its scope and name is not added. Audited as
        `org.cut_off` or `subject.cut_off`, detail `until TIME: REASON`, or as `key.withdrawn`, detail the
        reason; target the name.
        """
        ...

    async def answered(self, request: Idempotency, now: int) -> Withdrawn | None:
        """Return what was answered to `request` within 24 h, or None; `RequestReusedError`."""
        ...

    async def withdraw_selection(
        self,
        selection: Selection,
        within: frozenset[tuple[str, str]] | None,
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
    ) -> Withdrawn:
        """Withdraw whole all that `Tokens.select` returns at the time of this very transaction.

        Where the selection has a cut-off, that is added, and stands for all tokens under it: until `now`, or
        the newest issue time on record if that is later, but below the selection's `issued_before_ms`. Of an
        org, it is all that is added. A request answered before comes first. If a record's (org, app) is not
        `within` (None: no bound), raise `SelectionChangedError`. Otherwise as `withdraw`.
        """
        ...

    async def reading(self, now: int) -> Reading:
        """Read epoch, newest revision and time of the store; the time is never below an earlier one.

        It is the clock of the database where that has one, and else the highest `now` that it was told.
        """
        ...

    async def changes_after(self, number: int, limit: int) -> Sequence[Change]:
        """Return up to `limit` changes after revision `number`, in order, without gaps.

        Raises `RevisionForgottenError` if `number` is one that was pruned, or that was never given out.
        """
        ...

    async def mark_of(self, number: int) -> bytes | None:
        """Return the mark of a revision; None if it was pruned, or never given out."""
        ...

    async def withdrawals(self, number: int, after: Withdrawal | None, limit: int) -> Sequence[Withdrawal]:
        """Return up to `limit` of all entries up to revision `number` that come after an entry.

        They have an order of their own, which the entries of a change are in too.
        """
        ...

    async def cut_offs(self, number: int) -> Sequence[CutOff]:
        """Return the highest cut-off of each scope and name, of those up to revision `number`."""
        ...

    async def begin_epoch(self, actor: Actor, now: int) -> Reading:
        """Begin a new epoch, in which no revision of before means anything; numbers go on.

        Its time begins at `now`, or what the database's own clock says: the one thing that turns a time back
        which a server with a wrong clock has told.

        Audited as `store.epoch_begun`, target the new epoch, detail the one before.
        """
        ...

    async def prune(self, limit: int) -> int:
        """Forget, at most `limit` of each, what nobody needs; returns how much that was.

        Entries whose tokens ended over `KEPT_SECONDS` ago, and revisions given out over `LINKED_SECONDS`
        ago, by the store's time; never the newest revision. With the revision that raised a cut-off, the one
        that stood before; never the highest one.
        """
        ...


class Keys(Protocol):
    """The key ring at rest: sealed keys only."""

    async def add(self, key: SealedKey, actor: Actor, now: int) -> None:
        """Add a key to the ring. Audited as `key.added`, target the key id."""
        ...

    async def all(self) -> Sequence[SealedKey]:
        """Return all keys, oldest first."""
        ...


class Policies(Protocol):
    """How long tokens may live, by org and kind."""

    async def put(self, rule: ExpiryRule, actor: Actor, now: int) -> None:
        """Set a rule in place of that for its org and kind. Audited as `policy.set`, target `ORG/KIND`."""
        ...

    async def delete(self, org: str, kind: str, actor: Actor, now: int) -> bool:
        """Take back a rule; answers whether there was one. Audited as `policy.deleted` if so."""
        ...

    async def rules(self, orgs: Sequence[str]) -> Sequence[ExpiryRule]:
        """Return the rules of these orgs, or of all if none is given, by org and kind."""
        ...


class Audit(Protocol):
    """What was done. Rows are written by the other ports, in their transactions."""

    async def newest(self, limit: int) -> Sequence[AuditRow]:
        """Return the newest rows."""
        ...

    async def page(self, after: int, limit: int) -> Sequence[tuple[int, AuditRow]]:
        """Return up to `limit` rows, oldest first, with their sequence numbers, which are above `after`."""
        ...


class Clock(Protocol):
    """Time, as a value that tests can set."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the epoch. For `valid` and issue times only."""
        ...

    def monotonic(self) -> float:
        """Monotonic time in seconds, going on through suspension. For ages."""
        ...
