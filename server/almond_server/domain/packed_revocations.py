"""Revocations as records of 20 or 36 bytes: for the view, which holds ten million, and for the snapshot.

A record is the token's UUID (16 bytes), for a branch its id (16 bytes), and the end (4 bytes, big-endian unix
seconds). If two records differ only in their end, the later end is the right one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, overload

from almond_core.errors import FieldError
from almond_core.model import token_id_bytes, token_id_of
from almond_server.domain.revocations import Revocation

ID_BYTES: Final = 16
END_BYTES: Final = 4
WHOLE_BYTES: Final = ID_BYTES + END_BYTES
BRANCH_BYTES: Final = 2 * ID_BYTES + END_BYTES

NO_END: Final = bytes(END_BYTES)
"""An end before that of any revocation. The view uses it for a token of which only branches are revoked."""

_EARLIEST: Final = 1 << 8 * (END_BYTES - 1)
_NEVER: Final = (1 << 8 * END_BYTES) - 1
_COUNTS: Final = struct.Struct(">II")
_FIRST: Final = itemgetter(0)


def packed(revocation: Revocation) -> bytes | None:
    """Return a revocation as a record; None if it has ids that no genuine token has."""
    try:
        uuid = token_id_bytes(revocation.token_id)
    except FieldError:
        return None
    if revocation.branch_id is None:
        return uuid + packed_end(revocation.ends_at)
    if len(revocation.branch_id) != ID_BYTES:
        return None
    return uuid + revocation.branch_id + packed_end(revocation.ends_at)


def packed_end(ends_at: int | None) -> bytes:
    """Return an end as bytes: at least July 1970, so that the first byte is not 0; from 2106 on, never."""
    return (_NEVER if ends_at is None else max(_EARLIEST, min(ends_at, _NEVER))).to_bytes(END_BYTES, "big")


def unpacked(record: bytes) -> Revocation:
    """Return the revocation of a record that `packed` returned."""
    end = int.from_bytes(record[-END_BYTES:], "big")
    branch_id = record[ID_BYTES : 2 * ID_BYTES] if len(record) == BRANCH_BYTES else None
    return Revocation(token_id_of(record[:ID_BYTES]), branch_id, None if end == _NEVER else end)


def genuine_revocation(token_id: object, branch_id: object, ends_at: object) -> Revocation:
    """Read a revocation as `Revocation.from_json` does, but refuse ids that no genuine token has.

    Raises `ValueError` or `TypeError`. For files that operators provide: entries that they add to the store
    reach the view of every server.
    """
    revocation = Revocation.from_json(token_id, branch_id, ends_at)
    if packed(revocation) is None:
        message = "no genuine token has these ids"
        raise ValueError(message)
    return revocation


@dataclass(frozen=True, slots=True)
class PackedRevocations(Sequence[Revocation]):
    """A sequence of packed revocations: of whole tokens, then of branches, then those that have no record."""

    whole: bytes
    branches: bytes
    others: tuple[Revocation, ...] = ()

    @classmethod
    def of(cls, revocations: Sequence[Revocation]) -> PackedRevocations:
        """Pack revocations."""
        records = [packed(each) for each in revocations]
        return cls(
            b"".join(record for record in records if record is not None and len(record) == WHOLE_BYTES),
            b"".join(record for record in records if record is not None and len(record) == BRANCH_BYTES),
            tuple(each for each, record in zip(revocations, records, strict=True) if record is None),
        )

    @classmethod
    def decode(cls, data: bytes) -> PackedRevocations:
        """Read the bytes that `encode` returned; raises `ValueError` or `TypeError` for other bytes."""
        if len(data) < _COUNTS.size:
            message = "too short"
            raise ValueError(message)
        whole, branches = _COUNTS.unpack_from(data)
        middle = _COUNTS.size + whole * WHOLE_BYTES
        end = middle + branches * BRANCH_BYTES
        others = tuple(Revocation.from_json(*row) for row in json.loads(data[end:]))
        return cls(data[_COUNTS.size : middle], data[middle:end], others)

    def encode(self) -> bytes:
        """Return all of them as bytes, for `decode`."""
        counts = _COUNTS.pack(len(self.whole) // WHOLE_BYTES, len(self.branches) // BRANCH_BYTES)
        rows = [each.to_json() for each in self.others]
        return counts + self.whole + self.branches + json.dumps(rows, separators=(",", ":")).encode()

    def __len__(self) -> int:
        return len(self.whole) // WHOLE_BYTES + len(self.branches) // BRANCH_BYTES + len(self.others)

    def __iter__(self) -> Iterator[Revocation]:
        yield from map(unpacked, records(self.whole, WHOLE_BYTES))
        yield from map(unpacked, records(self.branches, BRANCH_BYTES))
        yield from self.others

    @overload
    def __getitem__(self, index: int) -> Revocation: ...
    @overload
    def __getitem__(self, index: slice) -> PackedRevocations: ...
    def __getitem__(self, index: int | slice) -> Revocation | PackedRevocations:
        if isinstance(index, int):
            return list(self)[index]
        start, stop, step = index.indices(len(self))
        if step != 1:
            message = "a slice of packed revocations has no step"
            raise ValueError(message)
        first, second = len(self.whole) // WHOLE_BYTES, len(self.branches) // BRANCH_BYTES
        return PackedRevocations(
            self.whole[start * WHOLE_BYTES : stop * WHOLE_BYTES],
            self.branches[max(start - first, 0) * BRANCH_BYTES : max(stop - first, 0) * BRANCH_BYTES],
            self.others[max(start - first - second, 0) : max(stop - first - second, 0)],
        )


def records(data: bytes, width: int) -> Iterator[bytes]:
    """Split bytes into records of `width` bytes each."""
    # This takes half the time of slicing.
    return map(_FIRST, struct.iter_unpack(f"{width}s", data))
