"""Lists of byte strings in one column: each with its length in four bytes, big-endian, in front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH_BYTES: Final = 4


def pack(items: Iterable[bytes]) -> bytes:
    """Join byte strings of any content."""
    return b"".join(len(item).to_bytes(_LENGTH_BYTES, "big") + item for item in items)


def unpack(packed: bytes) -> tuple[bytes, ...]:
    """Part what `pack` joined."""
    items, at = [], 0
    while at < len(packed):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(packed[at:start], "big")
        items.append(packed[start:at])
    return tuple(items)
