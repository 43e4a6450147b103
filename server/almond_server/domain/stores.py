"""The ports of the store: what the service stores, and what every adapter owes it.

Obligations of all ports, checked over all adapters by one contract suite (tests/contract):

* Every method may raise `StoreUnavailableError`. It has then changed nothing, unless the connection broke
  during the commit itself: repeated with the same request id, the call returns the answer that was lost.
* A method that changes something is one transaction: all of it, audit rows included, or nothing. When it
  returns, the change is durable. Cancelling the caller does not stop a transaction that has begun.
* A request id is remembered for 24 hours, by caller and method. A repeated call returns the first answer; one
  with another fingerprint raises `RequestReusedError`.
* Answers are immutable values, of `records.py`, `revocations.py` and this module. Times are unix seconds
  unless the name says milliseconds. `now` is the caller's wall time.
* The rules of cut-offs are those of `cut_off_rules.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from almond_server.domain.records import Record, Use
    from almond_server.domain.revocations import Change, CutOff, Reading, Revocation, RevokeReceipt
    from almond_server.domain.selections import Listing, Selection

Position: TypeAlias = tuple[int, str]
"""The place of a record in a list: `Record.position`. A record comes after those with a higher one."""


class RevisionForgottenError(Exception):
    """The store no longer has the changes since a revision; its entries can only be read as a whole."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The verified lineage of the token that a caller acts with. Local operators have no lineage."""

    name: str
    """Its name in the audit log: a token id, or `operator` for the local command line."""

    token_id: str = ""
    key_id: str = ""
    branch_ids: tuple[bytes, ...] = ()
    subject: str = ""
    home_org: str = ""
    issued_at_ms: int = 0
    orgs: tuple[str, ...] = ()
    """The orgs on which it acts in this call: a token that it mints is valid for them."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The identity of a request. `key` names caller, method and request id; `fingerprint` its content."""

    key: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """How long tokens of `kind` (`*` for every kind) of `org` may live, in seconds; None means not set."""

    org: str
    kind: str
    default_ttl: int | None
    max_ttl: int | None


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key of the key ring, sealed under the master key. Tokens are minted with the newest one."""

    key_id: str
    sealed: bytes = field(repr=False)
    created_at: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One audited action. `revision` is 0 if it revoked nothing."""

    at: int
    actor: str
    action: str
    target: str
    detail: str
    revision: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A row of the audit log, its sequence number, and what its target is, as the records say now.

    `org`, `app` and `name` are those of the token that the row is about, or of the derived one if that has a
    record. For a cut-off or a policy of an org, `org` is that org. What is not known is None.
    """

    seq: int
    row: AuditRow
    org: str | None = None
    app: str | None = None
    name: str | None = None


class Tokens(Protocol):
    """The records of minted and derived tokens. Those that fall under a cut-off are returned as revoked."""

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        """Record a minted token and return its record.

        In the same transaction, in this order:

        1. Raise `MinterRevokedError` if the actor is revoked: its token, one of its branches, its key, its
           subject, or an org on which it acts.
        2. Return the record that an earlier call of the same request added, if there was one.
        3. Raise `IssuedTooEarlyError` if the record would fall under a cut-off from the start.

        Audited as `token.minted`, target the token id, detail the kind.
        """
        ...

    async def answered(self, request: Idempotency, now: int) -> Record | None:
        """Return the record that `add` returned for a request, or None; `RequestReusedError`."""
        ...

    async def add_derived(self, record: Record, actor: Actor, now: int) -> Record:
        """Record a derived token under its nearest recorded ancestor, and return its record.

        The store sets `record.parent`. In the same transaction, in this order:

        1. Raise `MinterRevokedError` if the actor is revoked, as in `add`, or the derived token is: its
           minted token, by a cut-off or not, or one of its branches.
        2. Return the record as it stands, if the token is recorded already.
        3. Raise `RecordNotFoundError` if its minted token has no record.
        4. Raise `TooManyDerivedError` if that has `MAX_DERIVED` derived records.

        Audited as `token.registered`, target the record's id, detail its name.
        """
        ...

    async def get(self, record_id: str) -> Record | None:
        """Return the record with that id, or None."""
        ...

    async def select(self, selection: Selection, now: int, limit: int | None = None) -> Sequence[Record]:
        """Return the records of a selection that are neither revoked nor expired, newest first.

        Only the newest `limit`, unless None.
        """
        ...

    async def orgs_and_apps(self, selection: Selection, now: int) -> frozenset[tuple[str, str]]:
        """Return the (org, app) of every record that `select` would return."""
        ...

    async def record_last_used(self, uses: Sequence[Use]) -> None:
        """Record when tokens were last used, in the record of the minted token and those of its lineage.

        The latest time wins. Not audited.
        """
        ...

    async def page(
        self, listing: Listing, after: Position | None, limit: int, to: Position | None = None
    ) -> Sequence[Record]:
        """Return up to `limit` records, newest first, that come after `after`, and none that come after `to`.

        With `to` the store reads no other records, however few of them are listed.
        """
        ...

    async def nth(self, listing: Listing, after: Position | None, n: int) -> Position | None:
        """Return the position of the n-th record after `after` of the listing's org and app, listed or not.

        None if there are fewer.
        """
        ...

    async def home_orgs(self, token_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the home org of each of these tokens that has a record; empty for tokens of several orgs."""
        ...


class Revocations(Protocol):
    """Everything that is revoked, in the order of commits."""

    max_entries: int
    """The maximum number of entries in a revision of `revoke_selection`. `MAX_ENTRIES`, unless set."""

    async def revoke(
        self,
        revocations: Sequence[Revocation],
        actor: Actor,
        reason: str,
        request: Idempotency | None,
        now: int,
        cut_offs: Sequence[CutOff] = (),
    ) -> RevokeReceipt:
        """Revoke under one new revision.

        An entry that the store has already, or whose token is revoked whole, is not added again; nor is a
        cut-off that is not above the standing one of its target. If nothing is left to add, no revision is
        used, and the receipt names the newest one. The records of what is revoked, and of what derives from
        it, get `revoked_*`, unless they have them already. An earlier call of the same request is answered
        again.

        Audited as `token.revoked`, target the token id (for a branch followed by `/` and its id in hex),
        detail the reason. A cut-off is audited as `org.cut_off` or `subject.cut_off`, detail
        `until TIME: REASON`, or as `key.withdrawn`, detail the reason; target its name.
        """
        ...

    async def answered(self, request: Idempotency, now: int) -> RevokeReceipt | None:
        """Return the answer that a request got, or None; `RequestReusedError`."""
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
        """Revoke whole every token that `Tokens.select` would return.

        Runs in transactions of at most `max_entries`. Returns the revision of the last one and the total
        number of entries. If it fails part-way, what was committed stays revoked, and the call can be
        repeated.

        If the selection has a cut-off (`cut_off_rules.cut_off_of`), that is added first, and tokens under it
        get no entries of their own; for an org it is all that is added. An earlier call of the same request
        is answered again, before anything else. Raises `SelectionChangedError`, perhaps after a part, if the
        (org, app) of a record is not `within` (None: no bound). All else is as in `revoke`.
        """
        ...

    async def reading(self, now: int) -> Reading:
        """Read the epoch, newest revision and time of the store. The time is never below an earlier one.

        It is the clock of the database if that has one, else the highest `now` of all calls.
        """
        ...

    async def changes_after(self, number: int, limit: int) -> Sequence[Change]:
        """Return up to `limit` changes after revision `number`, in order and without gaps.

        Raises `RevisionForgottenError` if `number` was pruned or never used.
        """
        ...

    async def mark_of(self, number: int) -> bytes | None:
        """Return the mark of a revision; None if it was pruned or never used."""
        ...

    async def page(self, number: int, after: Revocation | None, limit: int) -> Sequence[Revocation]:
        """Return up to `limit` of all entries up to revision `number` that come after the entry `after`.

        Entries are ordered by token id and branch id, in a page as in a change.
        """
        ...

    async def cut_offs(self, number: int) -> Sequence[CutOff]:
        """Return the highest cut-off of each target, of those up to revision `number`."""
        ...

    async def begin_epoch(self, actor: Actor, now: int) -> Reading:
        """Begin a new epoch, in which revisions of earlier epochs are invalid. Numbers continue.

        The time of the store is set to its database's clock, or to `now`. Only this can turn back a time that
        a server with a wrong clock has set.

        Audited as `store.epoch_begun`, target the new epoch, detail the previous one.
        """
        ...

    async def prune(self, limit: int) -> int:
        """Delete what is no longer needed, at most `limit` of each kind; return how much was deleted.

        * Entries whose tokens ended more than `KEPT_SECONDS` ago, by the store's time.
        * Revisions, except the newest, that were used more than `LINKED_SECONDS` ago.
        * Cut-offs that a higher one replaced, once the revision of the higher one is deleted. Never the
          highest of a target.
        """
        ...


class Keys(Protocol):
    """The keys of the key ring, sealed."""

    async def add(self, key: SealedKey, actor: Actor, now: int) -> None:
        """Add a key to the ring. Audited as `key.added`, target the key id."""
        ...

    async def all(self) -> Sequence[SealedKey]:
        """Return all keys, oldest first."""
        ...


class Policies(Protocol):
    """The expiry rules, by org and kind."""

    async def put(self, rule: ExpiryRule, actor: Actor, now: int) -> None:
        """Set the rule for its org and kind. Audited as `policy.set`, target `ORG/KIND`."""
        ...

    async def delete(self, org: str, kind: str, actor: Actor, now: int) -> bool:
        """Delete a rule; return whether there was one, and then audit it as `policy.deleted`."""
        ...

    async def rules(self, orgs: Sequence[str]) -> Sequence[ExpiryRule]:
        """Return the rules of these orgs, or of all if `orgs` is empty, ordered by org and kind."""
        ...


class Audit(Protocol):
    """The audit log. Its rows are written by the other ports, in their transactions."""

    async def newest(self, limit: int) -> Sequence[AuditRow]:
        """Return the newest `limit` rows, newest first."""
        ...

    async def page(self, after: int, limit: int) -> Sequence[AuditEntry]:
        """Return up to `limit` entries, oldest first, numbered above `after`."""
        ...
