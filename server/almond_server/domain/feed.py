"""The ports of the fan-out: how the servers on one store hear of its changes, and who tells them.

All of it may be lost, repeated or forged by others. The store is the truth, and readers check what they hear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from almond_server.domain.revocations import Change, CutOff, Reading, Revocation


class FeedUnavailableError(Exception):
    """The feed cannot be reached. Never more than a delay: the store is the truth."""


class FeedGarbledError(FeedUnavailableError):
    """The feed is there, but somebody wrote over it: `Feed.restart` helps."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A heartbeat: what one server read from the store after it had heard the questions of `asked`."""

    reading: Reading
    nonces: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest change that is wholly in the feed."""

    number: int
    mark: bytes


@dataclass(frozen=True, slots=True)
class RevocationPage:
    """Some of what is revoked."""

    revocations: Sequence[Revocation]
    cut_offs: Sequence[CutOff] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every entry up to a revision. `pages` raises `FeedUnavailableError` where one is missing or forged."""

    number: int
    mark: bytes
    pages: AsyncIterator[RevocationPage]
    page_count: int = 0
    """How many pages there are, where that is known before they are read."""


@dataclass(frozen=True, slots=True)
class FeedState:
    """What is known of a feed, in figures; `objection` says the same in words."""

    is_read: bool
    is_written: bool
    may_evict: bool
    """Whether it may drop what it holds, or does not say."""

    rejected: int
    """How many entries and heartbeats were not genuine, since the start; each time that they were read."""


class Feed(Protocol):
    """The fan-out of one epoch's changes to all servers. It may lose, repeat or forge: readers check.

    Only background tasks touch it. It raises `FeedUnavailableError` within about two seconds at most.
    """

    @property
    def problem(self) -> str | None:
        """What an operator should hear of, in a sentence of ASCII; None if nothing, as it is being followed.

        That it does not answer, takes no writes, or may drop what it holds. At most about two seconds old.
        """
        ...

    async def append(self, change: Change) -> bool:
        """Append a change for all readers; answers whether it is there now.

        It is not if the feed has changes, and none of the number before it. It may be there already.
        """
        ...

    async def tail(self) -> Tail | None:
        """Return the newest change, None if there is none; `FeedGarbledError` if it is not genuine."""
        ...

    async def restart(self) -> None:
        """Drop all changes, questions, heartbeats and the snapshot."""
        ...

    async def challenge(self, nonce: bytes) -> None:
        """Ask whoever reads the store next, and beats, to name `nonce`."""
        ...

    async def pending_challenges(self) -> Sequence[bytes]:
        """Take the nonces of those who asked, at most 1,000 at once, each only once."""
        ...

    async def send_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send a heartbeat to all readers."""
        ...

    def follow(self, seen: Callable[[], int]) -> AsyncIterator[Change | Heartbeat | None]:
        """Yield changes after revision `seen()`, in order, and heartbeats, genuine ones only.

        None is for something that is not genuine. Some may be repeated. Ends by raising
        `FeedUnavailableError`; may be begun anew.
        """
        ...

    async def snapshot(self) -> Snapshot | None:
        """Return the newest snapshot; None if there is none, or it is not genuine."""
        ...

    def salvage(self) -> AsyncIterator[RevocationPage]:
        """Yield all entries that the feed has in snapshot and changes: what is genuine, gaps or not."""
        ...

    async def publish_snapshot(self, snapshot: Snapshot) -> None:
        """Put a snapshot in place of the one before it."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Election(Protocol):
    """Which of the servers on one store is the relay: one at a time, or for a moment nobody."""

    async def is_won(self) -> bool:
        """Stand for election; answers whether this server is the relay now."""
        ...

    async def resign(self) -> None:
        """Let another server be it; nothing if this one was not."""
        ...
