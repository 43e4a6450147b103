"""What every store owes for the records of derived tokens: `stores.Tokens` and `stores.Revocations`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from almond_server.adapters.sql import tokens as sql_tokens
from almond_server.domain.records import Record, record_id
from almond_server.domain.revocations import Revocation
from almond_server.domain.selections import Listing
from almond_server.errors import MinterRevokedError, RecordNotFoundError, TooManyDerivedError
from fakes import store
from support.samples import DAY, EVERYTHING, NOW, OPERATOR, Ports, branch, holder, part, record, whole

ROOM = 40
"""A limit below the real one of a thousand, which takes seconds to reach."""


async def minted(ports: Ports, **changes: object) -> Record:
    return await ports.tokens.add(record(**changes), OPERATOR, None, NOW)


def derived(of: str, *branches: int, **changes: object) -> Record:
    lineage = tuple(branch(each) for each in branches)
    return record(token_id=of, **{"lineage": lineage, **changes})


async def registered(ports: Ports, of: Record, *branches: int, **changes: object) -> Record:
    return await ports.tokens.add_derived(derived(of.token_id, *branches, **changes), OPERATOR, NOW)


async def revoked(ports: Ports, *entries: Revocation) -> set[str]:
    """Revoke, and return the ids of the records that say so."""
    await ports.revocations.revoke(entries, OPERATOR, "leaked", None, NOW)
    listed = await ports.tokens.page(EVERYTHING, None, 99)
    return {each.id for each in listed if each.revoked_at is not None}


async def test_a_derived_record_is_returned_as_it_was_added_and_under_its_parent(ports: Ports) -> None:
    root = await minted(ports)
    added = derived(root.token_id, 3, 4, name="narrowed", expires_at=None, caveats=('["é"]'.encode(),))
    standing = await ports.tokens.add_derived(added, holder("m", 1), NOW)
    assert standing == replace(added, parent=root.token_id)
    assert standing.id == record_id(root.token_id, branch(4)) != root.token_id
    assert await ports.tokens.get(standing.id) == standing


async def test_the_minted_record_stays_as_it_is_when_something_is_derived_from_it(ports: Ports) -> None:
    root = await minted(ports)
    await registered(ports, root, 1)
    assert await ports.tokens.get(root.token_id) == root


async def test_each_of_a_chain_of_three_is_under_the_one_before(ports: Ports) -> None:
    root = await minted(ports)
    first = await registered(ports, root, 1)
    second = await registered(ports, root, 1, 2)
    third = await registered(ports, root, 1, 2, 3)
    assert [each.parent for each in (first, second, third)] == [root.id, first.id, second.id]


async def test_what_has_no_record_is_left_out_between_parent_and_child(ports: Ports) -> None:
    root = await minted(ports)
    first = await registered(ports, root, 1)
    assert (await registered(ports, root, 1, 2, 3)).parent == first.id
    assert (await registered(ports, root, 4, 5, 6)).parent == root.id


async def test_the_nearest_of_two_recorded_ancestors_is_the_parent(ports: Ports) -> None:
    root = await minted(ports)
    await registered(ports, root, 1)
    second = await registered(ports, root, 1, 2)
    assert (await registered(ports, root, 1, 2, 3, 4)).parent == second.id


async def test_neither_a_sibling_nor_a_descendant_is_taken_for_the_parent(ports: Ports) -> None:
    root = await minted(ports)
    await registered(ports, root, 1)
    await registered(ports, root, 2, 3)
    assert (await registered(ports, root, 2)).parent == root.id


async def test_a_branch_of_another_token_is_not_taken_for_the_parent(ports: Ports) -> None:
    root, other = await minted(ports), await minted(ports)
    await registered(ports, other, 1)
    assert (await registered(ports, root, 1, 2)).parent == root.id


async def test_a_parent_given_by_the_caller_is_not_believed(ports: Ports) -> None:
    root, other = await minted(ports), await minted(ports)
    assert (await registered(ports, root, 1, parent=other.token_id)).parent == root.id


async def test_a_dead_parent_is_a_parent_all_the_same(ports: Ports) -> None:
    root = await minted(ports, expires_at=NOW - 1)
    first = await registered(ports, root, 1, expires_at=NOW - 1)
    assert (await registered(ports, root, 1, 2)).parent == first.id


async def test_one_that_is_recorded_already_is_returned_as_it_stands(ports: Ports) -> None:
    root = await minted(ports)
    first = await registered(ports, root, 1)
    again = derived(root.token_id, 1, name="other", created_at_ms=NOW * 1000 + 5, app="api")
    assert await ports.tokens.add_derived(again, holder("m"), NOW + 1) == first
    assert await ports.tokens.get(first.id) == first
    assert [row.action for row in await ports.audit.newest(9)] == ["token.registered", "token.minted"]


async def test_registering_is_audited(ports: Ports) -> None:
    root = await minted(ports)
    new = await ports.tokens.add_derived(derived(root.token_id, 1), holder("m", 1), NOW + 3)
    row = (await ports.audit.newest(1))[0]
    assert (row.at, row.actor, row.action, row.target, row.revision) == (
        NOW + 3,
        "m",
        "token.registered",
        new.id,
        0,
    )


async def test_nothing_is_recorded_under_a_token_without_a_record(ports: Ports) -> None:
    lost = derived("nobody", 1)
    with pytest.raises(RecordNotFoundError):
        await ports.tokens.add_derived(lost, OPERATOR, NOW)
    assert await ports.tokens.get(lost.id) is None
    assert await ports.audit.newest(9) == []


@pytest.mark.parametrize("revoked", [whole("m"), part("m", 1), part("m", 2)])
async def test_a_revoked_actor_registers_nothing(ports: Ports, revoked: Revocation) -> None:
    root = await minted(ports)
    await ports.revocations.revoke([revoked], OPERATOR, "", None, NOW)
    new = derived(root.token_id, 3)
    with pytest.raises(MinterRevokedError):
        await ports.tokens.add_derived(new, holder("m", 1, 2), NOW)
    assert await ports.tokens.get(new.id) is None
    assert [row.action for row in await ports.audit.newest(9)] == ["token.revoked", "token.minted"]


@pytest.mark.parametrize("number", [None, 1, 2, 3])
async def test_what_is_revoked_itself_or_above_is_not_registered(ports: Ports, number: int | None) -> None:
    root = await minted(ports)
    entry = whole(root.token_id) if number is None else part(root.token_id, number)
    await ports.revocations.revoke([entry], OPERATOR, "", None, NOW)
    new = derived(root.token_id, 1, 2, 3)
    with pytest.raises(MinterRevokedError):
        await ports.tokens.add_derived(new, holder("m", 1), NOW)
    assert await ports.tokens.get(new.id) is None
    assert [row.action for row in await ports.audit.newest(9)] == ["token.revoked", "token.minted"]


async def test_revoked_siblings_descendants_and_other_tokens_do_not_matter(ports: Ports) -> None:
    root, other = await minted(ports), await minted(ports)
    entries = [part(root.token_id, 2), part(root.token_id, 3), part(other.token_id, 1), part("m", 2)]
    await ports.revocations.revoke(entries, OPERATOR, "", None, NOW)
    new = derived(root.token_id, 1)
    assert (await ports.tokens.add_derived(new, holder("m", 1), NOW)).id == new.id


async def test_a_revoked_actor_does_not_get_what_stands_either(ports: Ports) -> None:
    root = await minted(ports)
    await registered(ports, root, 1)
    await ports.revocations.revoke([whole("m")], OPERATOR, "", None, NOW)
    with pytest.raises(MinterRevokedError):
        await ports.tokens.add_derived(derived(root.token_id, 1), holder("m"), NOW)


async def test_a_registered_branch_that_was_revoked_is_refused(ports: Ports) -> None:
    root = await minted(ports)
    await registered(ports, root, 1)
    await ports.revocations.revoke([part(root.token_id, 1)], OPERATOR, "", None, NOW)
    with pytest.raises(MinterRevokedError):
        await registered(ports, root, 1)


async def test_revoked_is_told_before_not_found(ports: Ports) -> None:
    await ports.revocations.revoke([whole("nobody")], OPERATOR, "", None, NOW)
    with pytest.raises(MinterRevokedError):
        await ports.tokens.add_derived(derived("nobody", 1), OPERATOR, NOW)


async def test_there_is_room_for_so_many_and_no_more(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sql_tokens, store):
        monkeypatch.setattr(module, "MAX_DERIVED", ROOM)
    root, other = await minted(ports), await minted(ports)
    many = [
        derived(root.token_id, lineage=(each.to_bytes(16, "big"),), caveats=(), minter_branch_ids=())
        for each in range(ROOM)
    ]
    standing = await asyncio.gather(*(ports.tokens.add_derived(each, OPERATOR, NOW) for each in many))
    fresh_id = derived(root.token_id, 255)
    with pytest.raises(TooManyDerivedError):
        await ports.tokens.add_derived(fresh_id, OPERATOR, NOW)
    assert await ports.tokens.get(fresh_id.id) is None
    assert len(await ports.tokens.page(EVERYTHING, None, 2 * ROOM)) == ROOM + 2
    assert len(await ports.audit.newest(2 * ROOM)) == ROOM + 2
    # What stands is no further one, and another token has room of its own.
    assert await ports.tokens.add_derived(many[-1], OPERATOR, NOW) == standing[-1]
    assert (await registered(ports, other, 255)).parent == other.id


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pages_hold_minted_and_derived_records_once_and_newest_first(ports: Ports, size: int) -> None:
    added = []
    for time in (5, 1, 5):
        root = await minted(ports, created_at_ms=time)
        added += [root, await registered(ports, root, 1, created_at_ms=5)]
        added += [await registered(ports, root, 1, 2, created_at_ms=time)]
    seen: list[Record] = []
    after = None
    while page := await ports.tokens.page(EVERYTHING, after, size):
        assert len(page) <= size
        seen += page
        after = (page[-1].created_at_ms, page[-1].id)
    assert seen == sorted(added, key=lambda each: (each.created_at_ms, each.id), reverse=True)


async def test_derived_records_are_listed_by_their_own_org_app_and_end(ports: Ports) -> None:
    root = await minted(ports)
    living = await registered(ports, root, 1, app="api", expires_at=None)
    await registered(ports, root, 2, app="api", expires_at=NOW)
    await registered(ports, root, 3, app="api", org="other")
    revoked = await registered(ports, root, 4, app="api")
    await ports.revocations.revoke([part(root.token_id, 4)], OPERATOR, "", None, NOW)
    live = Listing("acme", "api", show_all=False, now=NOW)
    assert await ports.tokens.page(live, None, 9) == [living]
    everything = await ports.tokens.page(replace(live, show_all=True), None, 9)
    assert len(everything) == 3
    assert revoked.id in {each.id for each in everything}


async def test_a_revoked_branch_is_written_on_it_and_on_what_derives_from_it(ports: Ports) -> None:
    root, other = await minted(ports), await minted(ports)
    await registered(ports, root, 1)
    middle = await registered(ports, root, 1, 2)
    leaf = await registered(ports, root, 1, 2, 3)
    await registered(ports, root, 1, 4)  # the sibling
    await registered(ports, other, 2)  # the like of another token
    assert await revoked(ports, part(root.token_id, 2)) == {middle.id, leaf.id}
    found = await ports.tokens.get(leaf.id)
    assert found == replace(leaf, revoked_at=NOW, revoked_by="operator", revoke_reason="leaked")


async def test_a_branch_without_a_record_is_written_on_what_derives_from_it(ports: Ports) -> None:
    root = await minted(ports)
    leaf = await registered(ports, root, 1, 2, 3)
    await registered(ports, root, 1, 4)
    assert await revoked(ports, part(root.token_id, 2)) == {leaf.id}


async def test_only_whole_branch_ids_are_compared(ports: Ports) -> None:
    root = await minted(ports)
    await registered(ports, root, 1, 2)
    across = branch(1)[8:] + branch(2)[:8]  # stands in the lineage as written, but is no generation of it
    entry = Revocation(root.token_id, across, NOW + DAY)
    assert await revoked(ports, entry) == set()


async def test_a_whole_token_is_written_on_all_its_records(ports: Ports) -> None:
    root, other = await minted(ports), await minted(ports)
    all_of_it = [root, await registered(ports, root, 1), await registered(ports, root, 1, 2)]
    all_of_it += [await registered(ports, root, 3)]
    await registered(ports, other, 1)
    assert await revoked(ports, whole(root.token_id)) == {each.id for each in all_of_it}


async def test_what_is_written_on_a_derived_record_is_written_once(ports: Ports) -> None:
    root = await minted(ports)
    first = await registered(ports, root, 1)
    second = await registered(ports, root, 1, 2)
    entries = [part(root.token_id, 2), part(root.token_id, 1), whole(root.token_id)]
    for turn, entry in enumerate(entries, 1):
        done = await ports.revocations.revoke([entry], holder(f"m{turn}"), f"{turn}", None, NOW + turn)
        assert done.entries == 1
    found = [await ports.tokens.get(each.id) for each in (second, first, root)]
    assert [(each.revoked_at, each.revoked_by, each.revoke_reason) for each in found if each] == [
        (NOW + 1, "m1", "1"),
        (NOW + 2, "m2", "2"),
        (NOW + 3, "m3", "3"),
    ]


async def test_a_revoked_branch_is_audited_as_one_entry_however_many_records_it_has(ports: Ports) -> None:
    root = await minted(ports)
    await registered(ports, root, 1)
    await registered(ports, root, 1, 2)
    await ports.revocations.revoke([part(root.token_id, 1)], OPERATOR, "leaked", None, NOW)
    rows = [row for row in await ports.audit.newest(9) if row.action == "token.revoked"]
    assert [(row.target, row.detail, row.revision) for row in rows] == [
        (f"{root.token_id}/{branch(1).hex()}", "leaked", 1)
    ]


async def test_no_branch_is_registered_after_its_revocation_was_acknowledged(ports: Ports) -> None:
    root = await minted(ports)
    many = [derived(root.token_id, 1, 2, each) for each in range(3, 120)]

    async def register(each: Record, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            await ports.tokens.add_derived(each, OPERATOR, NOW)
        except MinterRevokedError:
            return

    async def revoke() -> None:
        await asyncio.sleep(0.005)
        await ports.revocations.revoke([part(root.token_id, 2)], OPERATOR, "", None, NOW)

    await asyncio.gather(revoke(), *(register(each, turn % 20) for turn, each in enumerate(many)))
    listed = await ports.tokens.page(EVERYTHING, None, 999)
    assert [each.id for each in listed if each.revoked_at is None] == [root.token_id]
