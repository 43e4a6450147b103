"""Last-used times are recorded for a bounded number of derived tokens, and for every minted one."""

from __future__ import annotations

import pytest

from almond_core.chain import VerifiedToken
from almond_core.model import Identity, token_id_at
from almond_server.domain.stores import Actor
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
