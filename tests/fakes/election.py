"""The election of a relay in memory."""

from __future__ import annotations


class MemoryElection:
    """Implements `fan_out.Election` among those made of one `box`, an empty list that they share."""

    def __init__(self, box: list[object]) -> None:
        """Take the box; who is in it is the relay."""
        self._box = box

    async def is_won(self) -> bool:
        """Get into the box if it is empty."""
        if not self._box:
            self._box.append(self)
        return self._box[0] is self

    async def resign(self) -> None:
        """Get out of the box."""
        if self in self._box:
            self._box.remove(self)
