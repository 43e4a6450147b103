"""The ports of the feed: how the servers on one store learn of its changes, and which of them is the relay.

Whatever the feed holds may be lost, repeated or forged by others. The store is the truth: readers check what
they receive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from almond_server.domain.revocations import Change, CutOff, Reading, Revocation


class FeedUnavailableError(Exception):
    """The feed cannot be reached. This only delays revocations, because the store is the truth."""


class FeedGarbledError(FeedUnavailableError):
    """The feed answers, but something else wrote over its data. `Feed.restart` repairs it."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A reading of the store that the relay made after it had received the challenges `nonces`."""

    reading: Reading
    nonces: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Tail:
    """The number and mark of the newest change that is completely in the feed."""

    number: int
    mark: bytes


@dataclass(frozen=True, slots=True)
class RevocationPage:
    """A page of entries."""

    revocations: Sequence[Revocation]
    cut_offs: Sequence[CutOff] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All entries up to revision `number`.

    Iterating over `pages` raises `FeedUnavailableError` where a page is missing or forged.
    """

    number: int
    mark: bytes
    pages: AsyncIterator[RevocationPage]
    page_count: int = 0
    """How many pages there are, if that is known before they are read; else 0."""


@dataclass(frozen=True, slots=True)
class FeedState:
    """The state of a feed for metrics; `Feed.problem` says the same as a sentence."""

    is_read: bool
    is_written: bool
    may_evict: bool
    """Whether the feed may evict keys, or does not say whether it may."""

    rejected: int
    """How many entries and heartbeats were not genuine since the start, counted at each reading of one."""


class Feed(Protocol):
    """The feed of one epoch: it carries changes and heartbeats to all servers.

    Obligations: every method raises `FeedUnavailableError`, within about two seconds, if the feed does not
    answer. Callers are background tasks only, never a call of a client.
    """

    @property
    def problem(self) -> str | None:
        """The current problem with the feed as one ASCII sentence for operators, or None.

        Problems are: no answer, writes refused, keys may be evicted. At most two seconds old while the feed
        is followed.
        """
        ...

    async def append(self, change: Change) -> bool:
        """Append a change for all readers; return whether the feed contains it now.

        Returns False if the feed has changes but not the one before this. Appending a change that the feed
        contains already does nothing and returns True.
        """
        ...

    async def tail(self) -> Tail | None:
        """Return the newest change, None if the feed has none; `FeedGarbledError` if it is not genuine."""
        ...

    async def restart(self) -> None:
        """Delete all changes, challenges, heartbeats and the snapshot."""
        ...

    async def challenge(self, nonce: bytes) -> None:
        """Publish a nonce, which the relay echoes in the heartbeat about its next reading of the store."""
        ...

    async def pending_challenges(self) -> Sequence[bytes]:
        """Return and remove the published nonces, at most 1,000 at once."""
        ...

    async def send_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send a heartbeat to all readers."""
        ...

    def follow(self, seen: Callable[[], int]) -> AsyncIterator[Change | Heartbeat | None]:
        """Yield the changes after revision `seen()`, in order, and heartbeats; only genuine ones.

        None stands for something that is not genuine. A change or heartbeat may be repeated. The iterator
        ends only by raising `FeedUnavailableError`; the caller may then follow again.
        """
        ...

    async def snapshot(self) -> Snapshot | None:
        """Return the newest snapshot; None if there is none or it is not genuine."""
        ...

    def salvage(self) -> AsyncIterator[RevocationPage]:
        """Yield the genuine entries of the snapshot and of all changes, even if some between are missing."""
        ...

    async def publish_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Election(Protocol):
    """Elects the relay among the servers on one store: one at a time, and for a moment perhaps none."""

    async def is_won(self) -> bool:
        """Stand for election; return whether this server is the relay now."""
        ...

    async def resign(self) -> None:
        """Let another server become the relay; does nothing if this one is not."""
        ...
