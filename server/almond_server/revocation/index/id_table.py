"""A hash table of short records, found by the id that they begin with: few bytes each, and no slow step.

How it works:
* The records whose ids hash alike lie in one `bytes`, a bucket. The table grows and shrinks one bucket at a
  time (linear hashing), so that no insertion costs more than splitting one.
* Before the buckets is a filter: 16 slots of one byte for each bucket. Every id has cleared two bits in one
  slot. If one of them is still set, the id is not there; this sorts out almost all ids that are looked up.
* Ids are compared whole, so there are no false hits.

Knows bytes only. Must not know what a record means, nor the time. ADR 16 has the reasons and the figures.
"""

from __future__ import annotations

from itertools import combinations
from sys import getsizeof
from typing import TYPE_CHECKING, Final

from almond_server.domain.packed_revocations import END_BYTES, ID_BYTES, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SLOTS: Final = 16
"""Slots of the filter for each bucket: a power of two."""

_SHIFT: Final = _SLOTS.bit_length() - 1
_FULL: Final = 12
"""Records per bucket, on average, above which a bucket is split."""

_SPARSE: Final = 5
"""Records per bucket, on average, below which two buckets are merged."""

_EXPECTED: Final = 15
"""Records per bucket for which `make_room` makes buckets. With room for all, none would be split; but where
each bucket has grown from one record to twelve, memory is fragmented: 33 bytes per record instead of 29."""

_BUCKETS_AT_ONCE: Final = 20_000
"""Buckets that one call of `make_room` makes: less than a millisecond's work."""

_TWO_BITS: Final = [1 << one | 1 << other for one, other in combinations(range(8), 2)]
_ID_BITS: Final = tuple(_TWO_BITS[byte % len(_TWO_BITS)] for byte in range(256))
"""The bits that an id clears in its slot, by the id's last byte, which is random."""

_OTHER_BITS: Final = tuple(0xFF ^ bits for bits in _ID_BITS)
_LAST: Final = ID_BYTES - 1
_EMPTY: Final = b"\xff" * _SLOTS
"""The slots of a bucket without records."""

_BUCKET_BYTES: Final = 41
"""Memory of a bucket besides its records: the head of a `bytes`, and half of the 16 that it is rounded to."""


class IdTable:
    """Records of `width` bytes: an id of 16, other bytes or none, and an end of 4.

    Several records may have one id. Of those that differ in the end alone, the one with the greatest stays.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._buckets: list[bytes] = [b""]
        self._filter = bytearray(_EMPTY)
        # A hash gives a slot by the high mask; by the low mask, if there is no such slot yet. The table had
        # `_low_mask + 1` slots before the current round of splits, and doubles them in it.
        self._low_mask = _SLOTS - 1
        self._high_mask = 2 * _SLOTS - 1
        self._slots = _SLOTS
        self._count = 0
        self._sweep_at = 0

    def __len__(self) -> int:
        """Return the number of records."""
        return self._count

    @property
    def memory_bytes(self) -> int:
        """Bytes of its objects, in O(1). The process was measured to need up to a sixth more."""
        outside = getsizeof(self._buckets) + getsizeof(self._filter)
        return outside + len(self._buckets) * _BUCKET_BYTES + self._count * self._width

    def make_room(self, count: int) -> bool:
        """Give an empty table buckets for most of `count` records, some a call; return whether it has all.

        Without them, each is split off another when it is needed: half of the work of filling a table.
        """
        lacking = -(-count // _EXPECTED) - len(self._buckets)
        if self._count or lacking <= 0:
            return True
        made = min(lacking, _BUCKETS_AT_ONCE)
        self._buckets += [b""] * made
        self._filter += _EMPTY * made
        self._slots += _SLOTS * made
        while self._slots > self._high_mask:
            self._start_round()
        return made == lacking

    def find(self, key: bytes) -> int | None:
        """Return the byte after the id in a record with that id; None if there is no such record."""
        slot = hash(key) & self._high_mask
        if slot >= self._slots:
            slot &= self._low_mask
        if self._filter[slot] & _ID_BITS[key[_LAST]]:
            return None
        bucket = self._buckets[slot >> _SHIFT]
        # This is a little faster than `find`.
        at = bucket.rfind(key)
        if at >= 0 and at % self._width:
            at = self._position(bucket, key)
        return None if at < 0 else bucket[at + ID_BYTES]

    def all(self, key: bytes) -> list[bytes]:
        """Return the bytes after the id of every record with that id."""
        bucket = self._buckets[self._slot(hash(key)) >> _SHIFT]
        return [each[ID_BYTES:] for each in records(bucket, self._width) if each.startswith(key)]

    def add(self, record: bytes) -> bool:
        """Add a record; if one is there that differs in the end alone, only raise its end to the greater.

        Returns whether the record was added.
        """
        return not self.add_all((record,))

    def add_all(self, added: Iterable[bytes]) -> list[bytes]:
        """Add records as `add` does, ten million in a loop; return those that were not added."""
        width, buckets, slots = self._width, self._buckets, self._filter
        high, low, count, limit = self._high_mask, self._low_mask, self._slots, _FULL * len(buckets)
        known: list[bytes] = []
        for record in added:
            slot = hash(record[:ID_BYTES]) & high
            if slot >= count:
                slot &= low
            last, index = record[_LAST], slot >> _SHIFT
            bucket = buckets[index]
            if not slots[slot] & _ID_BITS[last]:
                at = self._position(bucket, record[:-END_BYTES])
                if at >= 0:
                    if record > bucket[at : at + width]:
                        buckets[index] = bucket[:at] + record + bucket[at + width :]
                    known.append(record)
                    continue
            else:
                slots[slot] &= _OTHER_BITS[last]
            buckets[index] = bucket + record
            self._count += 1
            if self._count > limit:
                self._split()
                high, low, count, limit = self._high_mask, self._low_mask, self._slots, _FULL * len(buckets)
        return known

    def remove(self, key: bytes) -> None:
        """Drop every record with an id."""
        if self.find(key) is None:
            return
        index = self._slot(hash(key)) >> _SHIFT
        kept = [each for each in records(self._buckets[index], self._width) if not each.startswith(key)]
        self._replace(index, kept)

    def sweep(self, has_ended: Callable[[bytes], bool], limit: int) -> int:
        """Check the next records of the table, and drop those that have ended; return how many were dropped.

        Checks `limit` records and the rest of a bucket at most, and none twice.
        """
        before, checked, start = self._count, 0, self._sweep_at
        for index in range(start, start + len(self._buckets)):
            if checked >= limit:
                break
            self._sweep_at = (index + 1) % len(self._buckets)
            found = list(records(self._buckets[index % len(self._buckets)], self._width))
            checked += max(1, len(found))
            kept = [each for each in found if not has_ended(each)]
            if len(kept) < len(found):
                self._replace(index % len(self._buckets), kept)
        dropped = before - self._count
        # So many merges keep up with what was dropped, and take no longer than dropping it did.
        for _ in range(limit // _SPARSE + 1):
            if len(self._buckets) == 1 or self._count >= _SPARSE * len(self._buckets):
                break
            self._merge()
        return dropped

    def __iter__(self) -> Iterator[bytes]:
        """Yield all records. The table must not change during the iteration."""
        for bucket in self._buckets:
            yield from records(bucket, self._width)

    def _slot(self, hashed: int) -> int:
        slot = hashed & self._high_mask
        return slot if slot < self._slots else slot & self._low_mask

    def _position(self, bucket: bytes, start: bytes) -> int:
        at = bucket.find(start)
        # A match elsewhere is the end of one record and the beginning of the next.
        while at >= 0 and at % self._width:
            at = bucket.find(start, at + 1)
        return at

    def _replace(self, index: int, kept: list[bytes]) -> None:
        self._count -= len(self._buckets[index]) // self._width - len(kept)
        self._buckets[index] = b"".join(kept)
        self._filter[index << _SHIFT : (index + 1) << _SHIFT] = self._slots_of(kept)

    @staticmethod
    def _slots_of(kept: list[bytes]) -> bytearray:
        slots = bytearray(_EMPTY)
        for record in kept:
            slots[hash(record[:ID_BYTES]) & (_SLOTS - 1)] &= _OTHER_BITS[record[_LAST]]
        return slots

    def _split(self) -> None:
        bit = self._low_mask + 1
        index = (self._slots - bit) >> _SHIFT
        staying: list[bytes] = []
        moving: list[bytes] = []
        staying_slots, moving_slots = bytearray(_EMPTY), bytearray(_EMPTY)
        for record in records(self._buckets[index], self._width):
            hashed = hash(record[:ID_BYTES])
            bucket, slots = (moving, moving_slots) if hashed & bit else (staying, staying_slots)
            bucket.append(record)
            slots[hashed & (_SLOTS - 1)] &= _OTHER_BITS[record[_LAST]]
        self._buckets[index] = b"".join(staying)
        self._filter[index << _SHIFT : (index + 1) << _SHIFT] = staying_slots
        self._buckets.append(b"".join(moving))
        self._filter += moving_slots
        self._slots += _SLOTS
        if self._slots > self._high_mask:
            self._start_round()

    def _start_round(self) -> None:
        self._low_mask, self._high_mask = self._high_mask, 2 * self._high_mask + 1

    def _merge(self) -> None:
        if self._slots == self._low_mask + 1:
            self._low_mask, self._high_mask = self._low_mask >> 1, self._low_mask
        self._slots -= _SLOTS
        index = (self._slots - self._low_mask - 1) >> _SHIFT
        last = self._filter[self._slots :]
        del self._filter[self._slots :]
        self._buckets[index] += self._buckets.pop()
        for slot, bits in enumerate(last, start=index << _SHIFT):
            self._filter[slot] &= bits
