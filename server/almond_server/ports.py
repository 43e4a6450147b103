"""What the service keeps and follows, and what every adapter of it owes.

One contract suite (tests/contract) runs over all adapters. Obligations common to all ports:

* Every method may raise `StoreUnavailableError` (feed: `FeedUnavailableError`) and then has changed nothing.
* A mutating method is one transaction: all of it, its audit row included, or nothing; when it returns, it is
  durable. A cancelled caller does not stop a transaction that has begun.
* Answers are immutable values. Times are unix seconds in UTC unless the name says milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


class FeedUnavailableError(Exception):
    """The feed cannot be reached. Never more than a delay: the store is the truth."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: the verified lineage of a caller's token. Local operators have no lineage."""

    name: str
    """What the audit log calls it: a token id, or `operator` for the local command line."""

    token_id: str = ""
    key_id: str = ""
    branch_ids: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Idempotency:
    """One request of one caller. `key` names caller, method and request id; `fingerprint` its content."""

    key: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a minted token: everything but its secret text."""

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


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A token withdrawn whole (`branch_id` is None), or one branch of it with all derived from it."""

    token_id: str
    branch_id: bytes | None
    ends_at: int | None
    """When the token is over anyway, in unix seconds; None if never."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction withdrew. Numbers have no gaps within an epoch."""

    number: int
    withdrawals: tuple[Withdrawal, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the store: its epoch, its newest revision number, and its own time (never going back)."""

    epoch: str
    number: int
    store_time: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What a withdrawal did: how many entries it added, and the revision at which all of it is visible."""

    entries: int
    reading: Reading


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
    """The records of minted tokens."""

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        """Record a token just made and return the record that stands.

        In the same transaction, first: if anything of the actor's lineage (its token, or one of its branch
        ids) has been withdrawn, raise `MinterWithdrawnError`. Then: if `request` was used by this method
        within 24 h, return the record of that time (`RequestReusedError` if its fingerprint differs).
        Audited as `token.minted`, target the token id.
        """
        ...

    async def get(self, token_id: str) -> Record | None:
        """Return one record, or None if no such token was minted here."""
        ...

    async def page(self, listing: Listing, after: tuple[int, str] | None, limit: int) -> Sequence[Record]:
        """Return up to `limit` records, newest first, that come after (`created_at_ms`, id)."""
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
    ) -> Withdrawn:
        """Withdraw, durably, under one new revision.

        An entry that stands already, or whose token is withdrawn whole, is not added again; if nothing is
        left, no revision is used up and the newest reading is returned. A token withdrawn whole gets its
        record's `revoked_*` filled, once. If `request` was used by this method within 24 h, the answer of
        that time is returned (`RequestReusedError` if its fingerprint differs). Audited as `token.revoked`,
        target the token id (and `/branch` in hex), detail the reason.
        """
        ...

    async def reading(self, now: int) -> Reading:
        """Read epoch, newest revision and time of the store; the time is never below an earlier one."""
        ...

    async def changes_after(self, number: int, limit: int) -> Sequence[Change]:
        """Return up to `limit` changes after revision `number`, in order, without gaps."""
        ...


class Keys(Protocol):
    """The key ring at rest: sealed keys only."""

    async def add(self, key: SealedKey, actor: Actor, now: int) -> None:
        """Add a key to the ring. Audited as `key.added`, target the key id."""
        ...

    async def all(self) -> Sequence[SealedKey]:
        """Return all keys, oldest first."""
        ...


class Audit(Protocol):
    """What was done, newest first. Rows are written by the other ports, in their transactions."""

    async def newest(self, limit: int) -> Sequence[AuditRow]:
        """Return the newest rows."""
        ...


class Feed(Protocol):
    """The fan-out of changes to all servers. It may lose, repeat or forge: readers check and ask the store.

    Only background tasks touch it. It raises `FeedUnavailableError` within about two seconds at most.
    """

    async def publish(self, epoch: str, change: Change) -> None:
        """Append a change for all readers."""
        ...

    def changes(self) -> AsyncIterator[tuple[str, Change]]:
        """Yield (epoch, change) as they are appended from now on, genuine ones only.

        Ends by raising `FeedUnavailableError`; iterating anew starts from that time on.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Clock(Protocol):
    """Time, as a value that tests can set."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the epoch. For `valid` and issue times only."""
        ...

    def monotonic(self) -> float:
        """Monotonic time in seconds, going on through suspension. For ages."""
        ...
