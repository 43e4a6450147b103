"""What every store owes for revoking a selection: `Revocations.revoke_selection`."""

from __future__ import annotations

import asyncio

import pytest

from almond_server.domain.revocations import Revocation
from almond_server.domain.selections import MintedBy, OfApp, OfSubject, Selection
from almond_server.domain.stores import Idempotency
from almond_server.errors import MinterRevokedError, RequestReusedError, SelectionChangedError
from support.samples import DAY, EVERYTHING, NOW, OPERATOR, Ports, branch, holder, part, record, whole
from support.selections import Of, ids, minted, minted_by, revoked, selected

REQUEST = Idempotency(b"revoke\x00caller\x00one", b"content")
HERE = frozenset({("acme", "web")})


async def test_a_revoked_selection_is_one_revision_of_whole_tokens(ports: Ports) -> None:
    ann = await minted_by(ports, "top")
    endless = await minted_by(ports, ann, 1, expires_at=None)
    other = await minted(ports)
    done = await revoked(ports)
    assert (done.entries, done.number) == (2, 1)
    (change,) = await ports.revocations.changes_after(0, 9)
    assert set(change.revocations) == {whole(ann.token_id), Revocation(endless.token_id, None, None)}
    assert await ports.tokens.get(other.token_id) == other
    assert await selected(ports, MintedBy("top")) == set()


async def test_only_what_is_selected_and_alive_becomes_an_entry(ports: Ports) -> None:
    expired = await minted_by(ports, "top", expires_at=NOW)
    gone = await minted_by(ports, expired)
    living = await minted_by(ports, gone, created_at_ms=NOW * 1000 + 7)
    await minted_by(ports, "top", created_at_ms=NOW * 1000 + 1)  # beyond the bound
    await ports.revocations.revoke([whole(gone.token_id)], OPERATOR, "", None, NOW)
    done = await revoked(ports, Selection(MintedBy("top"), NOW * 1000 + 1))
    assert (done.entries, done.number) == (1, 2)
    (change,) = await ports.revocations.changes_after(1, 9)
    assert change.revocations == (whole(living.token_id),)


async def test_the_records_of_a_revoked_selection_say_so_derived_ones_too(ports: Ports) -> None:
    ann = await minted_by(ports, "top")
    added = record(token_id=ann.token_id, lineage=(branch(5),))
    derived = await ports.tokens.add_derived(added, OPERATOR, NOW)
    made = await minted_by(ports, ann)
    await revoked(ports, actor=holder("m"), now=NOW + 1)
    found = [await ports.tokens.get(each.id) for each in (ann, derived, made)]
    assert [(each.revoked_at, each.revoked_by, each.revoke_reason) for each in found if each] == [
        (NOW + 1, "m", "leaked")
    ] * 3


async def test_every_token_of_a_selection_is_audited_under_its_revision(ports: Ports) -> None:
    ann = await minted_by(ports, "top")
    made = await minted_by(ports, ann)
    await revoked(ports, actor=holder("m", 1))
    rows = [row for row in await ports.audit.newest(9) if row.action == "token.revoked"]
    assert len(rows) == 2
    assert {row.target for row in rows} == ids(ann, made)
    assert {(row.at, row.actor, row.detail, row.revision) for row in rows} == {(NOW, "m", "leaked", 1)}


async def test_a_token_of_which_a_branch_is_revoked_is_revoked_whole(ports: Ports) -> None:
    ann = await minted_by(ports, "top")
    await ports.revocations.revoke([part(ann.token_id, 1)], OPERATOR, "", None, NOW)
    assert (await revoked(ports)).entries == 1


async def test_revoking_an_empty_selection_changes_nothing(ports: Ports) -> None:
    await minted(ports)
    done = await revoked(ports, within=frozenset())
    assert (done.entries, done.number) == (0, 0)
    assert [row.action for row in await ports.audit.newest(9)] == ["token.minted"]


async def test_revoking_a_selection_again_uses_up_no_revision(ports: Ports) -> None:
    await minted_by(ports, "top")
    await revoked(ports)
    done = await revoked(ports)
    assert (done.entries, done.number) == (0, 1)
    assert len(await ports.revocations.changes_after(0, 9)) == 1


async def test_a_selection_within_its_bounds_is_revoked(ports: Ports) -> None:
    ann = await minted_by(ports, "top")
    await minted_by(ports, ann, org="other", app="")
    done = await revoked(ports, within=HERE | {("other", ""), ("nowhere", "")})
    assert done.entries == 2


@pytest.mark.parametrize(
    "within",
    [frozenset(), HERE, frozenset({("other", "api")}), frozenset({("acme", "api"), ("other", "web")})],
)
async def test_a_selection_beyond_its_bounds_changes_nothing(
    ports: Ports, within: frozenset[tuple[str, str]]
) -> None:
    ann = await minted_by(ports, "top")
    made = await minted_by(ports, ann, org="other", app="api")
    before = await ports.audit.newest(9)
    with pytest.raises(SelectionChangedError) as refused:
        await revoked(ports, within=within, request=REQUEST)
    assert refused.value.retry_after > 0
    assert [await ports.tokens.get(each.id) for each in (ann, made)] == [ann, made]
    assert await ports.revocations.changes_after(0, 9) == []
    assert (await ports.revocations.reading(NOW)).number == 0
    assert await ports.audit.newest(9) == before
    # The request was not used up by it either.
    assert (await revoked(ports, request=Idempotency(REQUEST.key, b"else"))).entries == 2


async def test_the_dead_do_not_count_for_the_bounds(ports: Ports) -> None:
    ann = await minted_by(ports, "top")
    await minted_by(ports, ann, org="other", expires_at=NOW)
    assert (await revoked(ports, within=HERE)).entries == 1


async def test_derived_records_do_not_count_for_the_bounds(ports: Ports) -> None:
    ann = await minted_by(ports, "top")
    elsewhere = record(token_id=ann.token_id, lineage=(branch(5),), org="other")
    await ports.tokens.add_derived(elsewhere, OPERATOR, NOW)
    assert (await revoked(ports, within=HERE)).entries == 1


async def test_the_same_request_gives_the_answer_of_the_first_time(ports: Ports) -> None:
    await minted_by(ports, "top")
    first = await revoked(ports, request=REQUEST)
    late = await minted_by(ports, "top")
    await ports.revocations.revoke([whole("b")], OPERATOR, "", None, NOW)
    again = await revoked(ports, request=REQUEST, now=NOW + DAY - 1)
    assert (again.entries, again.number, again.epoch) == (1, 1, first.epoch)
    assert await ports.tokens.get(late.token_id) == late


async def test_the_same_request_gives_that_answer_even_if_the_selection_grew_beyond_its_bounds(
    ports: Ports,
) -> None:
    await minted_by(ports, "top")
    await revoked(ports, within=HERE, request=REQUEST)
    await minted_by(ports, "top", org="other")
    again = await revoked(ports, within=HERE, request=REQUEST)
    assert (again.entries, again.number) == (1, 1)


async def test_an_answer_of_nothing_is_remembered_too(ports: Ports) -> None:
    await revoked(ports, request=REQUEST)
    await minted_by(ports, "top")
    again = await revoked(ports, request=REQUEST)
    assert (again.entries, again.number) == (0, 0)


async def test_a_request_id_used_for_another_content_is_refused(ports: Ports) -> None:
    await minted_by(ports, "top")
    await revoked(ports, request=REQUEST)
    await minted_by(ports, "another")
    with pytest.raises(RequestReusedError):
        await revoked(ports, Selection(MintedBy("another")), request=Idempotency(REQUEST.key, b"else"))
    assert (await ports.revocations.reading(NOW)).number == 1


async def test_a_request_is_forgotten_after_a_day(ports: Ports) -> None:
    await revoked(ports, request=REQUEST)
    await minted_by(ports, "top", expires_at=None)
    done = await revoked(ports, request=Idempotency(REQUEST.key, b"else"), now=NOW + DAY)
    assert done.entries == 1


async def test_of_several_who_select_the_same_at_once_one_made_the_entries(ports: Ports) -> None:
    for _ in range(3):
        await minted_by(ports, "top")
    done = await asyncio.gather(*(revoked(ports) for _ in range(4)))
    assert [each.entries for each in done] == [3, 0, 0, 0]
    assert len({each.number for each in done}) == 1
    assert len(await ports.audit.newest(99)) == 6


async def test_nothing_minted_by_the_selected_survives_it(ports: Ports) -> None:
    ann = await minted_by(ports, "top")

    async def mint(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        new = record(minter_token_id=ann.token_id)
        try:
            await ports.tokens.add(new, holder(ann.token_id), None, NOW)
        except MinterRevokedError:
            return

    async def revoke() -> None:
        await asyncio.sleep(0.005)
        await revoked(ports)

    await asyncio.gather(revoke(), *(mint(each % 20) for each in range(100)))
    listed = await ports.tokens.page(EVERYTHING, None, 999)
    assert [each.id for each in listed if each.revoked_at is None] == []


@pytest.mark.parametrize("of", [OfApp("acme", "web"), MintedBy("top"), OfSubject("ann")])
async def test_a_large_selection_is_revoked_in_parts_and_the_last_one_answers(ports: Ports, of: Of) -> None:
    made = [await minted_by(ports, "top", subject="boss") for _ in range(3)]
    made += [await minted_by(ports, made[0], subject="boss") for _ in range(4)]
    if isinstance(of, OfSubject):
        ann = await minted(ports, subject="ann", app="other")
        made += [await minted_by(ports, ann, app="other") for _ in range(2)]
        made += [await minted_by(ports, made[-1], app="other") for _ in range(3)]
        expected = ids(*made[-5:])
    else:
        expected = ids(*made)
    ports.revocations.max_entries = 3
    done = await revoked(ports, Selection(of), request=REQUEST)
    changes = await ports.revocations.changes_after(0, 100)
    parts = [each.revocations for each in changes]
    assert {each.token_id for part in parts for each in part} == expected
    assert sum(map(len, parts)) == len(expected)
    assert max(map(len, parts)) <= 3
    assert len(parts) >= len(expected) / 3
    cut_offs = [len(each.cut_offs) for each in changes]
    assert cut_offs == [int(isinstance(of, OfSubject)), *[0] * (len(parts) - 1)]
    assert (done.entries, done.number) == (len(expected) + sum(cut_offs), changes[-1].number)
    assert done.is_all
    assert await revoked(ports, Selection(of), request=REQUEST) == done
    assert (await revoked(ports, Selection(of))).entries == 0
    assert await selected(ports, of) == set()


async def test_what_is_minted_while_parts_are_revoked_is_revoked_too(ports: Ports) -> None:
    await asyncio.gather(*(minted(ports) for _ in range(30)))
    ports.revocations.max_entries = 2
    revoking = asyncio.create_task(revoked(ports, Selection(OfApp("acme", "web"))))
    late = await minted(ports)
    done = await revoking
    changes = await ports.revocations.changes_after(0, 100)
    assert late.id in {entry.token_id for each in changes for entry in each.revocations}
    assert done.entries == 31
