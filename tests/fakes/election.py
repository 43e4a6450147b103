"""The election of a relay in memory, for tests."""

from __future__ import annotations


class MemoryElection:
    """Implements `feed.Election` among the objects that share one `box`, at first an empty list."""

    def __init__(self, box: list[object]) -> None:
        """Share `box`; the object in it is the relay."""
        self._box = box

    async def is_won(self) -> bool:
        """Enter the box if it is empty; return whether this object is in it."""
        if not self._box:
            self._box.append(self)
        return self._box[0] is self

    async def resign(self) -> None:
        """Leave the box."""
        if self in self._box:
            self._box.remove(self)
