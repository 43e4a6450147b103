"""The table of ids behaves like a dictionary, in bounded memory and without long steps.

`Insides` is the only look into the private parts of `IdTable`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almond_server.domain.packed_revocations import BRANCH_BYTES, WHOLE_BYTES
from almond_server.revocation.index import id_table
from almond_server.revocation.index.id_table import IdTable

KEYS = [random.Random(number).randbytes(16) for number in range(300)]
ENDS = st.integers(1, 50)
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(KEYS), ENDS),
    st.tuples(st.just("remove"), st.sampled_from(KEYS), st.none()),
    st.tuples(st.just("sweep"), ENDS, st.integers(1, 400)),
)


def end(number: int) -> bytes:
    return number.to_bytes(4, "big")


def full(count: int) -> IdTable:
    table = IdTable(WHOLE_BYTES)
    for number in range(count):
        assert table.add(key(number) + end(number % 7))
    return table


def key(number: int) -> bytes:
    return number.to_bytes(8, "big") * 2


class Insides:
    """The buckets of a table, and the filter before them."""

    def __init__(self, table: IdTable) -> None:
        self._table = table

    @property
    def buckets(self) -> list[bytes]:
        return self._table._buckets

    @buckets.setter
    def buckets(self, buckets: list[bytes]) -> None:
        self._table._buckets = buckets

    @property
    def bucket_count(self) -> int:
        return len(self._table._buckets)

    @property
    def filter_bytes(self) -> int:
        return len(self._table._filter)

    @property
    def memory_bytes(self) -> int:
        """The size of each object; the allocator rounds those of up to 512 bytes up to 16."""
        table = self._table
        sizes = [sys.getsizeof(bucket) for bucket in table._buckets if bucket]
        rounded = sum(-(-size // 16) * 16 for size in sizes)
        return rounded + sys.getsizeof(table._buckets) + sys.getsizeof(table._filter)

    def fill(self, bucket: bytes) -> None:
        """Put a bucket in the place of the only one; the filter lets every id through."""
        self._table._buckets[0] = bucket
        self._table._filter[:] = bytes(16)

    def lets_through(self, id_: bytes) -> bool:
        """Return whether the filter leaves it to the bucket whether an id is there."""
        slot = self._table._slot(hash(id_))
        return not self._table._filter[slot] & id_table._ID_BITS[id_[15]]


def _ended(before: int) -> Callable[[bytes], bool]:
    return lambda record: record[-4:] < end(before)


def _has_not_ended(_: bytes) -> bool:
    return False


def sweep_all(table: IdTable, before: int) -> int:
    """Sweep until a whole pass drops nothing."""
    dropped = 0
    while True:
        table_before = len(table)
        dropped += table.sweep(_ended(before), 1_000_000)
        if len(table) == table_before:
            return dropped


@given(st.lists(STEPS, max_size=400), st.integers(0, 1000))
@settings(max_examples=300)
def test_it_behaves_like_a_dictionary(steps: list[tuple[str, Any, Any]], room: int) -> None:
    table, model = IdTable(WHOLE_BYTES), dict[bytes, int]()
    assert table.make_room(room)
    for step, one, other in steps:
        match step:
            case "add":
                assert table.add(one + end(other)) == (one not in model)
                model[one] = max(other, model.get(one, 0))
            case "remove":
                table.remove(one)
                model.pop(one, None)
            case _:
                ended = {each for each in model if model[each] < one}
                dropped = table.sweep(_ended(one), other)
                gone = {each for each in model if table.find(each) is None}
                assert gone <= ended
                assert len(gone) == dropped
                model = {each: model[each] for each in model.keys() - gone}
    assert {each[:16]: int.from_bytes(each[16:], "big") for each in table} == model
    assert len(table) == len(model)
    for each in KEYS:
        assert table.all(each) == ([end(model[each])] if each in model else [])
        assert table.find(each) == (0 if each in model else None)


@given(st.lists(st.tuples(st.sampled_from(KEYS[:5]), st.sampled_from(KEYS), ENDS), max_size=200))
def test_one_id_may_have_any_number_of_records(entries: list[tuple[bytes, bytes, int]]) -> None:
    table, model = IdTable(BRANCH_BYTES), dict[bytes, dict[bytes, int]]()
    for one, other, number in entries:
        table.add(one + other + end(number))
        ends = model.setdefault(one, {})
        ends[other] = max(number, ends.get(other, 0))
    for each in KEYS[:6]:
        expected = {other + end(number) for other, number in model.get(each, {}).items()}
        assert set(table.all(each)) == expected
        assert len(table.all(each)) == len(expected)


def test_what_was_added_before_an_error_is_counted() -> None:
    table, many = IdTable(20), [bytes([each]) * 20 for each in range(50)]

    def broken() -> Iterator[bytes]:
        yield from many
        raise MemoryError

    with pytest.raises(MemoryError):
        table.add_all(broken())
    assert sorted(table) == many
    assert len(table) == 50


def test_every_id_is_found_at_every_size_up_and_down() -> None:
    table = IdTable(WHOLE_BYTES)
    for number in range(2000):
        table.add(key(number) + end(number + 1))
        assert all(table.all(key(each)) == [end(each + 1)] for each in range(0, number + 1, 97))
    for limit in range(0, 2001, 10):
        sweep_all(table, limit + 1)
        assert len(table) == 2000 - limit
        assert all(table.find(key(each)) is not None for each in range(limit, 2000, 97))
        assert limit == 0 or table.find(key(limit - 1)) is None
    assert Insides(table).bucket_count == 1
    assert Insides(table).filter_bytes == 16


def test_the_end_of_one_record_and_the_beginning_of_the_next_are_no_id() -> None:
    table = IdTable(WHOLE_BYTES)
    for first, second in zip(KEYS[:50], KEYS[50:], strict=False):
        bucket = first + end(3) + second + end(4)
        Insides(table).fill(bucket)
        for cut in range(1, 20):
            assert table.find(bucket[cut : cut + 16]) is None
        assert table.find(first) == table.find(second) == 0


def test_an_id_hidden_before_its_own_record_is_found() -> None:
    """The bytes of an id may begin in one record and end in the next, and come once more as an id."""
    table = IdTable(WHOLE_BYTES)
    hidden = bytes(16)
    Insides(table).fill(b"\x01" + bytes(15) + bytes(4) + hidden + b"\x09abc")
    assert table.find(hidden) == 9


def test_the_filter_stops_most_ids_that_are_not_there() -> None:
    insides = Insides(full(20_000))
    passed = sum(insides.lets_through(key(number)) for number in range(20_000, 30_000))
    assert passed < 1000  # a tenth


def test_no_step_touches_more_than_a_few_buckets() -> None:
    """So growing, shrinking and sweeping take no longer in a large table."""

    class Buckets(list[bytes]):
        touched = 0

        def __getitem__(self, index: Any) -> Any:
            Buckets.touched += 1
            return super().__getitem__(index)

        def __setitem__(self, index: Any, value: Any) -> None:
            Buckets.touched += 1
            super().__setitem__(index, value)

    table = full(5000)
    insides = Insides(table)
    insides.buckets = Buckets(insides.buckets)
    for number in range(5000, 6000):
        Buckets.touched = 0
        table.add(key(number) + end(1))
        assert Buckets.touched <= 5
    Buckets.touched = 0
    assert table.sweep(_has_not_ended, 100) == 0
    assert Buckets.touched <= 101
    Buckets.touched = 0
    dropped = table.sweep(bool, 100)
    assert 100 <= dropped <= 100 + 60
    assert Buckets.touched <= 600


def test_room_is_made_in_pieces_for_the_number_asked_for() -> None:
    table, calls = IdTable(WHOLE_BYTES), 1
    insides = Insides(table)
    count = 5 * 15 * id_table._BUCKETS_AT_ONCE - 40
    while not table.make_room(count):
        calls += 1
        assert insides.bucket_count <= 1 + calls * id_table._BUCKETS_AT_ONCE
    assert calls == 5
    assert insides.bucket_count == -(-count // 15)
    assert insides.filter_bytes == 16 * insides.bucket_count
    buckets = insides.bucket_count
    for number in range(1000):
        table.add(key(number) + end(1))
    assert table.make_room(10 * count)  # only an empty table makes room
    assert insides.bucket_count == buckets
    assert all(table.find(key(number)) is not None for number in range(1000))
    assert table.find(key(1001)) is None


def test_room_that_is_not_needed_is_given_back_in_small_steps() -> None:
    table = IdTable(WHOLE_BYTES)
    insides = Insides(table)
    assert table.make_room(15_000)
    table.add(key(1) + end(1))
    for left in range(980, -1, -20):
        buckets = insides.bucket_count
        assert table.sweep(_has_not_ended, 95) == 0
        assert buckets - 20 <= insides.bucket_count <= max(1, left)
        assert table.find(key(1)) == 0
    assert insides.bucket_count == 1


def test_a_pass_of_sweeps_reads_each_record_once() -> None:
    table, seen = full(1000), list[bytes]()

    def read(record: bytes) -> bool:
        seen.append(record)
        return False

    for _ in range(8):
        before = len(seen)
        table.sweep(read, 90)
        assert 90 <= len(seen) - before <= 150
        assert len(set(seen)) == len(seen)
    while len(set(seen)) < 1000:
        table.sweep(read, 90)
    assert len(seen) < 1150
    seen.clear()
    table.sweep(read, 1_000_000)
    assert len(set(seen)) == len(seen) == 1000


def test_buckets_hold_a_dozen_records_on_average_and_no_more() -> None:
    insides = Insides(full(50_000))
    assert 50_000 / 12 - 1 <= insides.bucket_count <= 50_000 / 12 + 1
    assert max(map(len, insides.buckets)) < 100 * WHOLE_BYTES
    assert insides.filter_bytes == 16 * insides.bucket_count


def test_it_returns_how_much_memory_it_takes() -> None:
    table = IdTable(WHOLE_BYTES)
    for number in range(30_000):
        table.add(key(number) + end(1))
        if number % 7500 == 7499:
            assert table.memory_bytes == pytest.approx(Insides(table).memory_bytes, rel=0.05)
    sweep_all(table, 2)
    assert len(table) == 0
    assert table.memory_bytes < 1000
