"""A table of short records found by the id they begin with: few bytes each, and no step that takes long.

The records of ids that hash alike lie in one `bytes`, a bucket. The table grows and shrinks a bucket at a
time (linear hashing), so that no insertion costs more than splitting one. Before the buckets lies a filter of
16 bytes each, in one of which every id has cleared two bits: who finds one of them set knows that the id is
not there, and almost no id that is looked up is. Ids are compared whole: there are no false hits.

Knows bytes only. Must not know what a record means, nor the time. ADR 16 has the reasons and the figures.
"""

from __future__ import annotations

from itertools import combinations
from sys import getsizeof
from typing import TYPE_CHECKING, Final

from almond_server.domain.packed_revocations import END_BYTES, ID_BYTES, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PLACES: Final = 16
"""Bytes of the filter that each bucket has: a power of two."""

_SHIFT: Final = _PLACES.bit_length() - 1
_FULL: Final = 12
"""Records a bucket, on average, above which one is split."""

_SPARSE: Final = 5
"""Records a bucket, on average, below which two become one."""

_EXPECTED: Final = 15
"""Records a bucket for which room is made. With room for all none would be split; but where each bucket has
grown from one record to twelve, memory is in pieces: 33 bytes a record in the place of 29."""

_ROOM: Final = 20_000
"""Buckets that are made at once: less than a millisecond's work."""

_TWO_BITS: Final = [1 << one | 1 << other for one, other in combinations(range(8), 2)]
_MARKS: Final = tuple(_TWO_BITS[byte % len(_TWO_BITS)] for byte in range(256))
"""The bits that an id clears in its byte of the filter, by its last byte, which is random."""

_REST: Final = tuple(0xFF ^ marks for marks in _MARKS)
_LAST: Final = ID_BYTES - 1
_BARE: Final = b"\xff" * _PLACES

_BUCKET_BYTES: Final = 41
"""Memory of a bucket besides its records: the head of a `bytes`, and half of the 16 that it is rounded to."""


class IdTable:
    """Records of `width` bytes: 16 of an id, perhaps others, and 4 of an end.

    Several may have one id. Only one has the same bytes before the end: the greatest end stands.
    """

    def __init__(self, width: int) -> None:
        """Start empty."""
        self._width = width
        self._buckets: list[bytes] = [b""]
        self._filter = bytearray(_BARE)
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
        """Bytes of its objects, in O(1). What the process needs for them was up to a sixth more."""
        outside = getsizeof(self._buckets) + getsizeof(self._filter)
        return outside + len(self._buckets) * _BUCKET_BYTES + self._count * self._width

    def make_room(self, count: int) -> bool:
        """Give an empty table buckets for most of so many records, some a call; answers whether it has all.

        Otherwise each is split off another when it is needed: half of the work of filling a table.
        """
        lacking = -(-count // _EXPECTED) - len(self._buckets)
        if self._count or lacking <= 0:
            return True
        made = min(lacking, _ROOM)
        self._buckets += [b""] * made
        self._filter += _BARE * made
        self._places += _PLACES * made
        while self._places > self._wide:
            self._widen()
        return made == lacking

    def find(self, key: bytes) -> int | None:
        """Return the byte that follows the id in a record of it; None if there is no record."""
        place = hash(key) & self._wide
        if place >= self._places:
            place &= self._narrow
        if self._filter[place] & _MARKS[key[_LAST]]:
            return None
        bucket = self._buckets[place >> _SHIFT]
        at = bucket.rfind(key)  # a little faster than `find`
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
        return not self.add_all((record,))

    def add_all(self, many: Iterable[bytes]) -> list[bytes]:
        """Add records as `add` does, ten million in a loop; returns those that were not added."""
        width, buckets, marked = self._width, self._buckets, self._filter
        wide, narrow, places, most = self._wide, self._narrow, self._places, _FULL * len(buckets)
        known: list[bytes] = []
        for record in many:
            place = hash(record[:ID_BYTES]) & wide
            if place >= places:
                place &= narrow
            last, index = record[_LAST], place >> _SHIFT
            bucket = buckets[index]
            if not marked[place] & _MARKS[last]:
                at = self._position(bucket, record[:-END_BYTES])
                if at >= 0:
                    if record > bucket[at : at + width]:
                        buckets[index] = bucket[:at] + record + bucket[at + width :]
                    known.append(record)
                    continue
            else:
                marked[place] &= _REST[last]
            buckets[index] = bucket + record
            self._count += 1
            if self._count > most:
                self._split()
                wide, narrow, places, most = self._wide, self._narrow, self._places, _FULL * len(buckets)
        return known

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
        # So many keep up with what was dropped, and take no longer than that.
        for _ in range(most // _SPARSE + 1):
            if len(self._buckets) == 1 or self._count >= _SPARSE * len(self._buckets):
                break
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

    @staticmethod
    def _marked(kept: list[bytes]) -> bytearray:
        marked = bytearray(_BARE)
        for record in kept:
            marked[hash(record[:ID_BYTES]) & (_PLACES - 1)] &= _REST[record[_LAST]]
        return marked

    def _split(self) -> None:
        bit = self._narrow + 1
        index = (self._places - bit) >> _SHIFT
        stay: list[bytes] = []
        go: list[bytes] = []
        stayed, gone = bytearray(_BARE), bytearray(_BARE)
        for record in records(self._buckets[index], self._width):
            hashed = hash(record[:ID_BYTES])
            bucket, marked = (go, gone) if hashed & bit else (stay, stayed)
            bucket.append(record)
            marked[hashed & (_PLACES - 1)] &= _REST[record[_LAST]]
        self._buckets[index] = b"".join(stay)
        self._filter[index << _SHIFT : (index + 1) << _SHIFT] = stayed
        self._buckets.append(b"".join(go))
        self._filter += gone
        self._places += _PLACES
        if self._places > self._wide:
            self._widen()

    def _widen(self) -> None:
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
            self._filter[place] &= marked
