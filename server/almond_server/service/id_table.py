"""A table of short records found by the id they begin with: few bytes each, and no step that takes long.

The records of ids that hash alike lie in one `bytes`, a bucket. The table grows and shrinks a bucket at a
time (linear hashing), so that no insertion costs more than splitting one. Before the buckets lies a filter of
16 bytes each, in one of which every id has left two bits: who finds them missing knows that the id is not
there, and almost no id that is looked up is. Ids are compared whole: there are no false hits.

Knows bytes only. Must not know what a record means, nor the time. ADR 16 has the reasons and the figures.
"""

from __future__ import annotations

import sys
from itertools import combinations
from typing import TYPE_CHECKING, Final

from almond_server.packed import END_BYTES, ID_BYTES, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PLACES: Final = 16
"""Bytes of the filter that each bucket has: a power of two."""

_SHIFT: Final = _PLACES.bit_length() - 1
_FULL: Final = 12
"""Records a bucket, on average, above which one is split."""

_SPARSE: Final = 5
"""Records a bucket, on average, below which two become one."""

_TWO_BITS: Final = [1 << one | 1 << other for one, other in combinations(range(8), 2)]
_MARKS: Final = bytes((_TWO_BITS * 2)[:32])
"""The bits that an id leaves in its byte of the filter, by the five highest bits of its hash (-16 to 15)."""

_HIGHEST: Final = 59
_EMPTY_BYTES: Final = sys.getsizeof(b"")


class IdTable:
    """Records of `width` bytes: 16 of an id, perhaps others, and 4 of an end.

    Several may have one id. Only one has the same bytes before the end: the greatest end stands.
    """

    def __init__(self, width: int) -> None:
        """Start empty."""
        self._width = width
        self._buckets: list[bytes] = [b""]
        self._filter = bytearray(_PLACES)
        # A place is a byte of the filter. In this round of splits, there were `_narrow + 1` at its beginning.
        self._narrow = _PLACES - 1
        self._wide = 2 * _PLACES - 1
        self._places = _PLACES
        self._count = 0
        self._next = 0

    def __len__(self) -> int:
        """Return how many records there are."""
        return self._count

    @property
    def memory_bytes(self) -> int:
        """How much memory it takes, reckoned at once: without the allocator's rounding."""
        buckets = _EMPTY_BYTES * len(self._buckets) + self._width * self._count
        return buckets + sys.getsizeof(self._buckets) + sys.getsizeof(self._filter)

    def find(self, key: bytes) -> int | None:
        """Return the byte that follows the id in a record of it; None if there is no record."""
        hashed = hash(key)
        place = hashed & self._wide
        if place >= self._places:
            place &= self._narrow
        marks = _MARKS[hashed >> _HIGHEST]
        if self._filter[place] & marks != marks:
            return None
        bucket = self._buckets[place >> _SHIFT]
        at = bucket.find(key)
        if at >= 0 and at % self._width:
            at = self._position(bucket, key)
        return None if at < 0 else bucket[at + ID_BYTES]

    def all(self, key: bytes) -> list[bytes]:
        """Return what follows the id in every record of it."""
        bucket = self._buckets[self._place(hash(key)) >> _SHIFT]
        return [each[ID_BYTES:] for each in records(bucket, self._width) if each.startswith(key)]

    def add(self, record: bytes) -> bool:
        """Add a record, or give the one that differs in the end alone the greater end.

        Answers whether it was added.
        """
        hashed = hash(record[:ID_BYTES])
        place = hashed & self._wide
        if place >= self._places:
            place &= self._narrow
        marks, marked, index = _MARKS[hashed >> _HIGHEST], self._filter[place], place >> _SHIFT
        bucket = self._buckets[index]
        if marked & marks == marks:
            at = self._position(bucket, record[:-END_BYTES])
            if at >= 0:
                if record > bucket[at : at + self._width]:
                    self._buckets[index] = bucket[:at] + record + bucket[at + self._width :]
                return False
        else:
            self._filter[place] = marked | marks
        self._buckets[index] = bucket + record
        self._count += 1
        if self._count > _FULL * len(self._buckets):
            self._split()
        return True

    def remove(self, key: bytes) -> None:
        """Drop every record of an id."""
        if self.find(key) is None:
            return
        index = self._place(hash(key)) >> _SHIFT
        kept = [each for each in records(self._buckets[index], self._width) if not each.startswith(key)]
        self._drop(index, kept)

    def sweep(self, is_over: Callable[[bytes], bool], most: int) -> int:
        """Go on through the table, and drop the records that are over; returns how many those were.

        Looks at no more than `most` records and the rest of a bucket, nor at any twice.
        """
        before, looked, start = self._count, 0, self._next
        for index in range(start, start + len(self._buckets)):
            if looked >= most:
                break
            self._next = (index + 1) % len(self._buckets)
            here = list(records(self._buckets[index % len(self._buckets)], self._width))
            looked += max(1, len(here))
            kept = [each for each in here if not is_over(each)]
            if len(kept) < len(here):
                self._drop(index % len(self._buckets), kept)
        dropped = before - self._count
        while len(self._buckets) > 1 and self._count < _SPARSE * len(self._buckets):
            self._merge()
        return dropped

    def __iter__(self) -> Iterator[bytes]:
        """Yield all records. The table must not change meanwhile."""
        for bucket in self._buckets:
            yield from records(bucket, self._width)

    def _place(self, hashed: int) -> int:
        place = hashed & self._wide
        return place if place < self._places else place & self._narrow

    def _position(self, bucket: bytes, start: bytes) -> int:
        at = bucket.find(start)
        while at >= 0 and at % self._width:  # the end of one record and the beginning of the next
            at = bucket.find(start, at + 1)
        return at

    def _drop(self, index: int, kept: list[bytes]) -> None:
        self._count -= len(self._buckets[index]) // self._width - len(kept)
        self._buckets[index] = b"".join(kept)
        self._filter[index << _SHIFT : (index + 1) << _SHIFT] = self._marked(kept)

    def _marked(self, kept: list[bytes]) -> bytearray:
        marked = bytearray(_PLACES)
        for record in kept:
            hashed = hash(record[:ID_BYTES])
            marked[hashed & (_PLACES - 1)] |= _MARKS[hashed >> _HIGHEST]
        return marked

    def _split(self) -> None:
        bit = self._narrow + 1
        index = (self._places - bit) >> _SHIFT
        stay: list[bytes] = []
        go: list[bytes] = []
        for record in records(self._buckets[index], self._width):
            (go if hash(record[:ID_BYTES]) & bit else stay).append(record)
        self._buckets[index] = b"".join(stay)
        self._filter[index << _SHIFT : (index + 1) << _SHIFT] = self._marked(stay)
        self._buckets.append(b"".join(go))
        self._filter += self._marked(go)
        self._places += _PLACES
        if self._places > self._wide:
            self._narrow, self._wide = self._wide, 2 * self._wide + 1

    def _merge(self) -> None:
        if self._places == self._narrow + 1:
            self._narrow, self._wide = self._narrow >> 1, self._narrow
        self._places -= _PLACES
        index = (self._places - self._narrow - 1) >> _SHIFT
        last = self._filter[self._places :]
        del self._filter[self._places :]
        self._buckets[index] += self._buckets.pop()
        for place, marked in enumerate(last, start=index << _SHIFT):
            self._filter[place] |= marked
