"""Last-used times are recorded for a bounded number of derived tokens, and for every minted one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from almond_core.chain import VerifiedToken
from almond_core.model import Identity, token_id_at
from almond_server.domain.records import Use
from almond_server.domain.stores import Actor
from almond_server.errors import StoreUnavailableError
from almond_server.tokens.last_used import MAX_DERIVED, LastUseRecorder
from fakes.store import MemoryStore, MemoryTokens
from support.samples import record

pytestmark = pytest.mark.asyncio
NOW = 1_700_000_040
ONE, OTHER = (token_id_at(NOW * 1000, bytes([number]) * 10) for number in (1, 2))
OPERATOR = Actor("operator")


def derived(token_id: str, number: int) -> VerifiedToken:
    branch_ids = (bytes(16), token_id[-8:].encode() + number.to_bytes(8, "big"))
    return VerifiedToken(Identity("k1", token_id, "org", "acme", ""), (), branch_ids, b"")


class Counting(MemoryTokens):
    """The tokens of a store, which counts the uses that it writes."""

    uses = 0

    async def record_last_used(self, uses: Sequence[Use]) -> None:
        self.uses += len(uses)
        await super().record_last_used(uses)


class Slow(MemoryTokens):
    """The tokens of a store, which writes when `may_end` is set."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()

    async def record_last_used(self, uses: Sequence[Use]) -> None:
        self.begun.set()
        await self.may_end.wait()
        await super().record_last_used(uses)


async def test_each_token_has_its_own_bound_of_recorded_derived_tokens() -> None:
    store = MemoryStore()
    tokens = MemoryTokens(store)
    last_used = LastUseRecorder(tokens)
    for name in (ONE, OTHER):
        await tokens.add(record(token_id=name), OPERATOR, None, NOW)
        for number in range(1, MAX_DERIVED + 50):
            kept = record(token_id=name, lineage=derived(name, number).branch_ids)
            store.records[kept.id] = kept
            last_used.record(derived(name, number), NOW)
    await last_used.write()
    used = [
        each.token_id for each in store.records.values() if each.last_used_at and each.id != each.token_id
    ]
    assert (used.count(ONE), used.count(OTHER)) == (MAX_DERIVED, MAX_DERIVED)
    for number in range(MAX_DERIVED, MAX_DERIVED + 50):  # the next batch has room again
        last_used.record(derived(ONE, number), NOW)
    await last_used.write()
    assert all(each.last_used_at for each in store.records.values() if each.token_id == ONE and each.lineage)


async def used_at(store: MemoryStore, token_id: str) -> int | None:
    return store.records[token_id].last_used_at


async def recorder() -> tuple[MemoryStore, LastUseRecorder]:
    store = MemoryStore()
    tokens = MemoryTokens(store)
    for name in (ONE, OTHER):
        await tokens.add(record(token_id=name), OPERATOR, None, NOW)
    return store, LastUseRecorder(tokens)


async def test_a_batch_that_the_store_did_not_take_is_in_the_next_one() -> None:
    store, last_used = await recorder()
    last_used.record(derived(ONE, 1), NOW)
    last_used.record(derived(OTHER, 1), NOW)
    store.available = False
    await last_used.write()
    with pytest.raises(StoreUnavailableError):
        await last_used.flush()
    last_used.record(derived(OTHER, 1), NOW + 120)
    store.available = True
    await last_used.flush()
    minute = NOW - NOW % 60
    assert [await used_at(store, each) for each in (ONE, OTHER)] == [minute, minute + 120]


async def test_what_was_kept_has_the_bounds_of_what_is_collected() -> None:
    store, last_used = await recorder()
    store.available = False
    for batch in range(3):
        for number in range(MAX_DERIVED):
            last_used.record(derived(ONE, batch * MAX_DERIVED + number), NOW)
        await last_used.write()
    store.available = True
    written = Counting(store)
    last_used._tokens = written
    await last_used.flush()
    assert written.uses == MAX_DERIVED


async def test_a_flush_waits_for_a_batch_that_is_being_written() -> None:
    store, last_used = await recorder()
    slow = Slow(store)
    last_used._tokens = slow
    last_used.record(derived(ONE, 1), NOW)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(last_used.write())
        await slow.begun.wait()
        flushed = tasks.create_task(last_used.flush())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not flushed.done()
        slow.may_end.set()
    assert await used_at(store, ONE) is not None
