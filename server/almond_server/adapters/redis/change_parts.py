"""A change as parts, for the stream, and parts as a change again.

A part's place is (revision, index) with indexes from 1; the last part always has the index `LAST`, so that a
reader, and who appends the next change, can tell that a change is wholly there.
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
    """Yield the parts of a change: the place a part comes right after, its own place, and the part."""
    most = max(len(change.revocations), len(change.cut_offs))
    count = max(1, -(-most // _ENTRIES))
    before: EntryId = (change.number - 1, LAST)
    for index in range(1, count + 1):
        some = slice((index - 1) * _ENTRIES, index * _ENTRIES)
        place = (change.number, LAST if index == count else index)
        part = ChangePart(change.mark, change.before, count, change.revocations[some], change.cut_offs[some])
        yield before, place, part
        before = place


class Assembly:
    """Puts together the parts of one change after the other."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._number = 0
        self._mark = b""
        self._parts = 0
        self._entries: list[Revocation] = []
        self._cut_offs: list[CutOff] = []

    def add(self, place: EntryId, part: ChangePart) -> Change | None:
        """Add the next part; answers the change once it is whole.

        A part that does not go with those before it begins anew: the change it is of will not become whole.
        """
        number, index = place
        if number != self._number or part.mark != self._mark:
            self._number, self._mark = number, part.mark
            self._forget()
        if index not in {self._parts + 1, LAST}:
            self._forget()
            return None
        self._parts += 1
        self._entries += part.revocations
        self._cut_offs += part.cut_offs
        if index != LAST or self._parts != part.parts:
            return None
        whole = Change(number, part.mark, part.before, tuple(self._entries), tuple(self._cut_offs))
        self._forget()
        return whole

    def _forget(self) -> None:
        self._parts, self._entries, self._cut_offs = 0, [], []
