"""Two servers on one store: two stores that are open on one database, SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.sql.schema import migrate
from almond_server.adapters.sql.store import Store, open_store
from almond_server.domain.records import Use
from almond_server.domain.revocations import Change
from almond_server.domain.selections import MintedBy, OfOrg, OfSubject, Selection
from almond_server.domain.stores import Idempotency
from almond_server.errors import MinterRevokedError
from support.samples import NOW, OPERATOR, branch, holder, record, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from almond_server.adapters.sql.database import Location
    from almond_server.domain.records import Record
    from almond_server.domain.stores import Actor
    from support.postgres import PostgresServer

Nodes = tuple[Store, Store]


@pytest.fixture
async def nodes(location: Location) -> AsyncIterator[Nodes]:
    stores = open_store(location), open_store(location)
    yield stores
    for store in stores:
        await store.close()


async def all_changes(store: Store) -> Sequence[Change]:
    return await store.revocations.changes_after(0, 10_000)


async def test_revisions_have_no_gaps_whoever_gives_them_out(nodes: Nodes) -> None:
    async def revoke(name: str, store: Store) -> int:
        return (await store.revocations.revoke([whole(name)], OPERATOR, "", None, NOW)).number

    names = [f"t{number}" for number in range(120)]
    numbers = await asyncio.gather(*(revoke(name, random.choice(nodes)) for name in names))
    changes = await all_changes(nodes[0])
    assert [change.number for change in changes] == list(range(1, len(changes) + 1))
    where = {each.token_id: change.number for change in changes for each in change.revocations}
    assert where == dict(zip(names, numbers, strict=True))


async def test_a_reader_never_sees_a_revision_before_an_earlier_one(nodes: Nodes) -> None:
    """Commits become visible in the order of their numbers, which a sequence would not guarantee."""
    done = asyncio.Event()

    async def write(store: Store, name: str) -> None:
        for number in range(40):
            await store.revocations.revoke([whole(f"{name}{number}")], OPERATOR, "", None, NOW)

    async def read() -> None:
        known = 0
        while not done.is_set():
            reading = await nodes[0].revocations.reading(NOW)
            for change in await nodes[0].revocations.changes_after(known, 1000):
                assert change.number == known + 1
                known = change.number
            assert known >= reading.number

    reader = asyncio.create_task(read())
    await asyncio.gather(*(write(store, f"{index}-") for index, store in enumerate([*nodes, *nodes])))
    done.set()
    await reader


async def test_the_same_thing_is_revoked_once(nodes: Nodes) -> None:
    done = await asyncio.gather(
        *(store.revocations.revoke([whole("a")], OPERATOR, "", None, NOW) for store in nodes * 10)
    )
    assert sum(each.entries for each in done) == 1
    assert {each.number for each in done} == {1}


async def test_one_request_sent_to_both_is_done_once(nodes: Nodes) -> None:
    request = Idempotency(b"mint\x00caller\x00one", b"content")
    made = await asyncio.gather(
        *(store.tokens.add(record(), OPERATOR, request, NOW) for store in nodes * 5), return_exceptions=True
    )
    assert len({each.token_id for each in made if not isinstance(each, BaseException)}) == 1
    assert not [each for each in made if isinstance(each, BaseException)]


async def mint_until_refused(store: Store, actor: Actor, minter: Record) -> list[str]:
    made: list[str] = []
    while True:
        minted = record(minter_token_id=minter.token_id, minter_branch_ids=())
        try:
            await store.tokens.add(minted, actor, None, NOW)
        except MinterRevokedError:
            return made
        made.append(minted.token_id)


@pytest.mark.parametrize("seed", range(8))
async def test_no_token_outlives_the_revocation_of_what_it_minted_elsewhere(nodes: Nodes, seed: int) -> None:
    """A minter races its own revocation: what it minted is revoked too, or was refused."""
    here, there = nodes
    minter = record()
    await here.tokens.add(minter, OPERATOR, None, NOW)
    minting = [
        asyncio.create_task(mint_until_refused(here, holder(minter.token_id), minter)) for _ in range(3)
    ]
    await asyncio.sleep(random.Random(seed).uniform(0, 0.05))
    selection = Selection(MintedBy(minter.token_id))
    await there.revocations.revoke([whole(minter.token_id)], OPERATOR, "", None, NOW)
    await there.revocations.revoke_selection(selection, None, OPERATOR, "", None, NOW)
    made = {token_id for tokens in await asyncio.gather(*minting) for token_id in tokens}
    revoked = {each.token_id for change in await all_changes(here) for each in change.revocations}
    assert made <= revoked
    assert await here.tokens.select(selection, NOW) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("of", [OfOrg("acme"), OfSubject("ann")])
async def test_a_minter_that_races_its_own_cut_off_elsewhere_leaves_nothing_alive(
    nodes: Nodes, seed: int, of: OfOrg | OfSubject
) -> None:
    here, there = nodes
    minter = record(subject="ann")
    await here.tokens.add(minter, OPERATOR, None, NOW)
    actor = replace(holder(minter.token_id), subject="ann", home_org="acme", issued_at_ms=NOW * 1000)
    minting = [asyncio.create_task(mint_until_refused(here, actor, minter)) for _ in range(3)]
    await asyncio.sleep(random.Random(seed).uniform(0, 0.05))
    await there.revocations.revoke_selection(Selection(of), None, OPERATOR, "", None, NOW - 9)
    made = {token_id for tokens in await asyncio.gather(*minting) for token_id in tokens}
    found = [await here.tokens.get(each) for each in made]
    assert [each.id for each in found if each and each.revoked_at is None] == []


async def test_uses_of_the_same_tokens_can_be_written_from_both(nodes: Nodes) -> None:
    tokens = [record() for _ in range(20)]
    for each in tokens:
        await nodes[0].tokens.add(each, OPERATOR, None, NOW)
    uses = [Use(each.token_id, (branch(1),), NOW) for each in tokens]
    await asyncio.gather(
        *(
            store.tokens.record_last_used(order)
            for store in nodes
            for order in (uses, uses[::-1])
            for _ in range(5)
        )
    )
    found = await nodes[1].tokens.get(tokens[0].token_id)
    assert found is not None
    assert found.last_used_at == NOW


async def test_ids_that_differ_in_case_alone_are_different(nodes: Nodes) -> None:
    lower, upper = record(token_id="a" * 22), record(token_id="A" * 22)
    await nodes[0].tokens.add(lower, OPERATOR, None, NOW)
    await nodes[0].tokens.add(upper, OPERATOR, None, NOW)
    await nodes[0].revocations.revoke([whole(upper.token_id)], OPERATOR, "", None, NOW)
    found = [await nodes[1].tokens.get(each.token_id) for each in (lower, upper)]
    assert [each and each.revoked_at for each in found] == [None, NOW]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_of_two_migrations_at_once_both_succeed(kind: str, tmp_path: Path, postgres: PostgresServer) -> None:
    empty: Location = tmp_path / "almond.db" if kind == "sqlite" else postgres.new_database()
    with ThreadPoolExecutor(4) as threads:
        results = [each.result() for each in [threads.submit(migrate, empty) for _ in range(4)]]
    assert sorted(before is None for before, _ in results) == [False, False, False, True]
    assert len({after for _, after in results}) == 1
