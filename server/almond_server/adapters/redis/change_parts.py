"""Splits a change into parts, which are entries of the stream, and puts it together again.

The entry id of a part is (revision, index), with indexes from 1. The last part always has the index `LAST`:
readers, and the server that appends the next change, see by it that a change is complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from almond_server.adapters.redis.codec import ChangePart
from almond_server.domain.revocations import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almond_server.domain.revocations import CutOff, Revocation

LAST: Final = 1_000_000_000
_ENTRIES: Final = 1000

EntryId = tuple[int, int]


def split(change: Change) -> Iterator[tuple[EntryId, EntryId, ChangePart]]:
    """Yield the parts of a change: the entry id that a part comes right after, its own id, and the part."""
    entries = max(len(change.revocations), len(change.cut_offs))
    count = max(1, -(-entries // _ENTRIES))
    before: EntryId = (change.number - 1, LAST)
    for index in range(1, count + 1):
        own = slice((index - 1) * _ENTRIES, index * _ENTRIES)
        entry_id = (change.number, LAST if index == count else index)
        part = ChangePart(change.mark, change.before, count, change.revocations[own], change.cut_offs[own])
        yield before, entry_id, part
        before = entry_id


class Assembly:
    """Assembles changes from their parts, one change after the other."""

    def __init__(self) -> None:
        """Start without any part."""
        self._number = 0
        self._mark = b""
        self._parts = 0
        self._entries: list[Revocation] = []
        self._cut_offs: list[CutOff] = []

    def add(self, entry_id: EntryId, part: ChangePart) -> Change | None:
        """Add the next part; return the change if that completes it, else None.

        A part that does not continue the earlier ones discards them: their change will not become complete.
        """
        number, index = entry_id
        if number != self._number or part.mark != self._mark:
            self._number, self._mark = number, part.mark
            self._reset()
        if index not in {self._parts + 1, LAST}:
            self._reset()
            return None
        self._parts += 1
        self._entries += part.revocations
        self._cut_offs += part.cut_offs
        if index != LAST or self._parts != part.parts:
            return None
        complete = Change(number, part.mark, part.before, tuple(self._entries), tuple(self._cut_offs))
        self._reset()
        return complete

    def _reset(self) -> None:
        self._parts, self._entries, self._cut_offs = 0, [], []
