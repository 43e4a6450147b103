"""The log of the newest changes in memory, shared by all watchers: each holds a cursor in it, and no queue.

The follower appends each change that the view has just applied. Must not know its readers.
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
"""The most revocations and cut-offs, or changes without any, in one message."""

_MAX_CHANGES: Final = 10_000
_MAX_LOGGED: Final = 100_000
"""Entries, of about 250 bytes each; the newest change is kept however many it has."""

FORGOTTEN: Final = (
    "The changes since that revision are no longer kept. Start again with a snapshot, which contains all of "
    "them."
)
_TOO_SLOW: Final = "This watcher reads too slowly; watch again from the last revision that you got."

Entries: TypeAlias = "tuple[Sequence[Revocation], Sequence[CutOff]]"
EntryFilter: TypeAlias = "Callable[[LoggedChange, Sequence[Revocation], Sequence[CutOff]], Entries]"
"""Returns those of some entries of a change that a watcher is sent."""


class Cursor(NamedTuple):
    """A position: all up to revision `number` was sent, and `entries` entries of the change after it."""

    number: int
    entries: int = 0


@dataclass(slots=True, weakref_slot=True)
class LoggedChange:
    """A change, and the home orgs of its tokens once they are loaded."""

    change: Change
    homes: dict[str, str] | None = None

    def __len__(self) -> int:
        """Return the number of its entries."""
        return len(self.change.revocations) + len(self.change.cut_offs)


@dataclass(frozen=True, slots=True)
class ChangeSlice:
    """A change or a slice of it; `number` is None except in the last slice."""

    number: int | None
    revocations: Sequence[Revocation]
    cut_offs: Sequence[CutOff]


@dataclass(slots=True, eq=False)
class Batch:
    """The content of one message, and the cursor after it."""

    parts: Sequence[ChangeSlice]
    end: Cursor
    encoded: bytes = field(default=b"", repr=False)
    """The serialised message, made once for all that are sent it."""


class ChangeLog:
    """The changes after revision `start`, without gaps; above the limits the oldest are dropped."""

    def __init__(self, view: RevocationView) -> None:
        """Start empty, at the view's revision."""
        self._view = view
        self._logged: dict[int, LoggedChange] = {}
        self._size = 0
        self._broken_at = self.start = view.revision.number
        self.moved = asyncio.Event()
        """Set at every change; the task that waits for it clears it."""

    @property
    def head(self) -> int:
        """The revision of the newest change: the view's."""
        return self.start + len(self._logged)

    def append(self, change: Change | None) -> None:
        """Append the next change; None if the view was loaded as a whole, so that single ones are unknown.

        After such a jump, or a gap, the log starts anew at the view's revision.
        """
        if change is None or change.number != self.head + 1:
            self._restart_at(self._view.revision.number - (change is not None))
        if change is not None:
            logged = self._logged[change.number] = LoggedChange(change)
            self._size += len(logged)
            while len(self._logged) > _MAX_CHANGES or (self._size > _MAX_LOGGED and len(self._logged) > 1):
                self.start += 1
                self._size -= len(self._logged.pop(self.start))
        self.moved.set()

    def after(self, number: int, last: int) -> Iterable[LoggedChange]:
        """Yield the logged changes after revision `number`, up to revision `last`."""
        return (self._logged[each] for each in range(max(number, self.start) + 1, min(last, self.head) + 1))

    def require_logged(self, cursor: Cursor) -> None:
        """Raise unless the log holds what follows a cursor.

        `WatcherTooSlowError` if the log has dropped it, `ChangesForgottenError` if the log never had it.
        """
        if cursor.number < self._broken_at:
            raise ChangesForgottenError(FORGOTTEN)
        if cursor.number < self.start:
            raise WatcherTooSlowError(_TOO_SLOW)

    def _restart_at(self, number: int) -> None:
        self._logged.clear()
        self._size, self.start, self._broken_at = 0, number, number


def all_entries(_: LoggedChange, revocations: Sequence[Revocation], cut_offs: Sequence[CutOff]) -> Entries:
    """Return all entries."""
    return revocations, cut_offs


def next_batch(changes: Iterable[LoggedChange], cursor: Cursor, entry_filter: EntryFilter) -> Batch:
    """Return the next batch, of at most `MAX_ENTRIES`, from the changes (at least one) after a cursor."""
    parts: list[ChangeSlice] = []
    room = MAX_ENTRIES
    for logged in changes:
        change = logged.change
        first, of_tokens = cursor.entries, len(change.revocations)
        end = min(len(logged), first + room)
        cut_offs = change.cut_offs[max(first - of_tokens, 0) : max(end - of_tokens, 0)]
        chosen = entry_filter(logged, change.revocations[first:end], cut_offs)
        is_whole = end == len(logged)
        parts.append(ChangeSlice(change.number if is_whole else None, *chosen))
        cursor = Cursor(change.number) if is_whole else Cursor(cursor.number, end)
        room -= max(end - first, 1)
        if room <= 0:
            break
    return Batch(parts, cursor)
