"""The newest changes, in memory, for all watchers together: who watches holds a place in it, and no queue.

Told by the follower of what the view has just taken in. Must not know who reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from almond_server.errors import ChangesForgottenError, WatcherTooSlowError

if TYPE_CHECKING:
    from almond_server.domain.revocations import Change, CutOff, Revocation
    from almond_server.revocation.index.view import RevocationView

MAX_ENTRIES: Final = 1000
"""How many revocations and cut-offs, or changes without any, one message holds."""

_MAX_CHANGES: Final = 10_000
_MAX_KEPT: Final = 100_000
"""Entries, of about 250 bytes; the newest change is kept however many it has."""

FORGOTTEN: Final = (
    "What came after that revision is no more told apart; watch from a snapshot, which has all of it."
)
_TOO_SLOW: Final = "This watcher reads too slowly; watch again from the last revision that you got."

Entries: TypeAlias = "tuple[Sequence[Revocation], Sequence[CutOff]]"
EntryFilter: TypeAlias = "Callable[[LoggedChange, Sequence[Revocation], Sequence[CutOff]], Entries]"
"""What of some entries of a change a watcher is told."""


class Cursor(NamedTuple):
    """How far a watcher is: it has all up to revision `number`, and `told` entries of the change after it."""

    number: int
    told: int = 0


@dataclass(slots=True, weakref_slot=True)
class LoggedChange:
    """A change, with the home orgs of its tokens once somebody asked for them."""

    change: Change
    homes: dict[str, str] | None = None

    def __len__(self) -> int:
        """Return how many entries it has."""
        return len(self.change.revocations) + len(self.change.cut_offs)


@dataclass(frozen=True, slots=True)
class ChangeSlice:
    """A change, or some of it: then `number` is None but for the last part."""

    number: int | None
    revocations: Sequence[Revocation]
    cut_offs: Sequence[CutOff]


@dataclass(slots=True, eq=False)
class Batch:
    """What one message tells, and where who gets it is then."""

    parts: Sequence[ChangeSlice]
    end: Cursor
    encoded: bytes = field(default=b"", repr=False)
    """What the edge made of it: once, for all who get it."""


class ChangeLog:
    """The changes after revision `start`, without gaps; the oldest go first when there are too many."""

    def __init__(self, view: RevocationView) -> None:
        """Begin empty, where the view is."""
        self._view = view
        self._kept: dict[int, LoggedChange] = {}
        self._size = 0
        self._broken_at = self.start = view.revision.number
        self.moved = asyncio.Event()
        """Set at every change; whoever waits for it clears it."""

    @property
    def head(self) -> int:
        """The revision of the newest change: the view's."""
        return self.start + len(self._kept)

    def take(self, change: Change | None) -> None:
        """Take in the next change; None: the view has jumped over some that nobody can tell apart."""
        if change is None or change.number != self.head + 1:
            self._break_off(self._view.revision.number - (change is not None))
        if change is not None:
            kept = self._kept[change.number] = LoggedChange(change)
            self._size += len(kept)
            while len(self._kept) > _MAX_CHANGES or (self._size > _MAX_KEPT and len(self._kept) > 1):
                self.start += 1
                self._size -= len(self._kept.pop(self.start))
        self.moved.set()

    def after(self, number: int, last: int) -> Iterable[LoggedChange]:
        """Yield the changes after one revision, up to another; those that are there."""
        return (self._kept[each] for each in range(max(number, self.start) + 1, min(last, self.head) + 1))

    def require_logged(self, place: Cursor) -> None:
        """Raise unless what comes after a place is here.

        `ChangesForgottenError` if it is nowhere, `WatcherTooSlowError` if it was here.
        """
        if place.number < self._broken_at:
            raise ChangesForgottenError(FORGOTTEN)
        if place.number < self.start:
            raise WatcherTooSlowError(_TOO_SLOW)

    def _break_off(self, number: int) -> None:
        self._kept.clear()
        self._size, self.start, self._broken_at = 0, number, number


def all_entries(_: LoggedChange, revocations: Sequence[Revocation], cut_offs: Sequence[CutOff]) -> Entries:
    """Choose all there is."""
    return revocations, cut_offs


def batch(changes: Iterable[LoggedChange], place: Cursor, choice: EntryFilter) -> Batch:
    """Cut the next message, of at most `MAX_ENTRIES`, out of changes that follow a place; there are some."""
    parts: list[ChangeSlice] = []
    room = MAX_ENTRIES
    for kept in changes:
        change = kept.change
        first, of_tokens = place.told, len(change.revocations)
        end = min(len(kept), first + room)
        cut_offs = change.cut_offs[max(first - of_tokens, 0) : max(end - of_tokens, 0)]
        chosen = choice(kept, change.revocations[first:end], cut_offs)
        is_whole = end == len(kept)
        parts.append(ChangeSlice(change.number if is_whole else None, *chosen))
        place = Cursor(change.number) if is_whole else Cursor(place.number, end)
        room -= max(end - first, 1)
        if room <= 0:
            break
    return Batch(parts, place)
