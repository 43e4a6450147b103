"""What the service keeps and follows, and what every adapter of it owes.

One contract suite (tests/contract) runs over all adapters. Obligations common to all ports:

* Every method may raise `StoreUnavailableError` (feed: `FeedUnavailableError`). It has then changed nothing,
  unless the connection broke during the very commit: asked again under its request id, it answers as it
  would have.
* A mutating method is one transaction: all of it, its audit row included, or nothing; when it returns, it is
  durable. A cancelled caller does not stop a transaction that has begun.
* Answers are immutable values, of `record.py`, `revocation.py` and here. Times are unix seconds in UTC unless
  the name says milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from almond_server.domain.records import Record, Use
    from almond_server.domain.revocations import Change, CutOff, Reading, Revocation, RevokeReceipt
    from almond_server.domain.selections import Listing, Selection


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


@dataclass(frozen=True, slots=True)
class Idempotency:
    """One request of one caller. `key` names caller, method and request id; `fingerprint` its content."""

    key: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """How long tokens of `kind` (`*` for every kind) of `org` may live, in seconds; None is not set."""

    org: str
    kind: str
    default_ttl: int | None
    max_ttl: int | None


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key of the ring, sealed under the master key. Tokens are minted with the newest one."""

    key_id: str
    sealed: bytes = field(repr=False)
    created_at: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing that was done. `revision` is 0 where nothing was revoked."""

    at: int
    actor: str
    action: str
    target: str
    detail: str
    revision: int


class Tokens(Protocol):
    """The records of minted tokens. Those under a cut-off are read as revoked by it."""

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        """Record a token just made and return the record that stands.

        In the same transaction, first: if anything of the actor's (its token, one of its branch ids, its key,
        its subject or an org that it acts on) has been revoked, raise `MinterRevokedError`. Then: if
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
        has been revoked, raise `MinterRevokedError`; if the token it derives from has no record,
        `RecordNotFoundError`; if that has `MAX_DERIVED` derived records, `TooManyDerivedError`. One that is
        recorded already is returned as it stands. `record.parent` is filled in. Audited as
        `token.registered`, target its id.
        """
        ...

    async def get(self, record_id: str) -> Record | None:
        """Return one record by its id, or None if there is none."""
        ...

    async def select(self, selection: Selection, now: int, limit: int | None = None) -> Sequence[Record]:
        """Return the records of a selection that are neither revoked nor expired, newest first.

        Only the newest `limit`, unless None.
        """
        ...

    async def orgs_and_apps(self, selection: Selection, now: int) -> frozenset[tuple[str, str]]:
        """Return (org, app) of all records that `select` would return."""
        ...

    async def record_last_used(self, uses: Sequence[Use]) -> None:
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
    """What has been revoked, durably, in the order of commits."""

    max_entries: int
    """How many entries one revision of a selection has: `MOST_AT_ONCE`, unless somebody says otherwise."""

    async def revoke(
        self,
        revocations: Sequence[Revocation],
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
        cut_offs: Sequence[CutOff] = (),
    ) -> RevokeReceipt:
        """Revoke, durably, under one new revision.

        An entry that stands already, or whose token is revoked whole, is not added again; if nothing is
        left, no revision is used up and the newest reading is returned. The records of what is revoked, and
        of what was derived from it, get their `revoked_*` filled, once. If `request` was used by this method
        within 24 h, the answer of that time is returned (`RequestReusedError` if its fingerprint differs).
        Audited as `token.revoked`, target the token id (and `/branch` in hex), detail the reason.

        A cut-off that is not above the standing one of its scope and name is not added. Audited as
        `org.cut_off` or `subject.cut_off`, detail `until TIME: REASON`, or as `key.revoked`, detail the
        reason; target the name.
        """
        ...

    async def answered(self, request: Idempotency, now: int) -> RevokeReceipt | None:
        """Return what was answered to `request` within 24 h, or None; `RequestReusedError`."""
        ...

    async def revoke_selection(
        self,
        selection: Selection,
        within: frozenset[tuple[str, str]] | None,
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
    ) -> RevokeReceipt:
        """Revoke whole all that `Tokens.select` returns, in transactions of at most `most` entries each.

        The last one finds no more than it revokes; its revision is returned, with the entries of all. What
        stops before that has revoked a part, and can be asked for again.

        Where the selection has a cut-off, that is added first, and stands for all tokens under it: until
        `now`, or the newest issue time on record if that is later, but below the selection's
        `issued_before_ms`. Of an org, it is all that is added. A request answered before comes first. If a
        record's (org, app) is not `within` (None: no bound), raise `SelectionChangedError`, perhaps after a
        part. Otherwise as `revoke`.
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

    async def page(self, number: int, after: Revocation | None, limit: int) -> Sequence[Revocation]:
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
