"""What every store owes as `stores.Revocations`, `stores.Keys` and `stores.Audit`."""

from __future__ import annotations

import asyncio
import re

import pytest

from almond_server.adapters.sql import changes as sql_changes
from almond_server.adapters.sql import idempotency as sql_requests
from almond_server.domain.revocations import KEPT_SECONDS, LINKED_SECONDS, Change, Revocation, RevokeReceipt
from almond_server.domain.stores import Idempotency, RevisionForgottenError, SealedKey
from almond_server.errors import RequestReusedError
from support.samples import DAY, NOW, OPERATOR, Ports, branch, holder, part, record, whole

REQUEST = Idempotency(b"revoke\x00caller\x00one", b"content")


async def revoked(ports: Ports, *entries: Revocation, request: Idempotency | None = None) -> RevokeReceipt:
    return await ports.revocations.revoke(entries, OPERATOR, "leaked", request, NOW)


async def test_a_new_store_is_at_revision_zero_of_an_epoch_of_its_own(ports: Ports) -> None:
    reading = await ports.revocations.reading(NOW)
    assert reading.number == 0
    assert reading.mark
    assert re.fullmatch("[0-9a-f]{8}", reading.epoch)
    assert await ports.revocations.changes_after(0, 9) == []


async def test_one_call_is_one_revision_however_many_entries(ports: Ports) -> None:
    done = await revoked(ports, whole("a"), part("b", 1), Revocation("c", None, None))
    assert (done.entries, done.number) == (3, 1)
    (change,) = await ports.revocations.changes_after(0, 9)
    assert change.number == 1
    assert set(change.revocations) == {whole("a"), part("b", 1), Revocation("c", None, None)}


async def test_concurrent_revocations_are_numbered_without_gaps(ports: Ports) -> None:
    done = await asyncio.gather(*(revoked(ports, whole(f"t{each}")) for each in range(50)))
    changes = await ports.revocations.changes_after(0, 100)
    assert [each.number for each in changes] == list(range(1, len(changes) + 1))
    by_number = {each.number: each.revocations for each in changes}
    assert {each.number for each in done} == set(by_number)
    assert all(whole(f"t{index}") in by_number[each.number] for index, each in enumerate(done))
    assert sum(map(len, by_number.values())) == 50


async def test_changes_are_read_in_bounded_parts_and_none_is_missing(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_changes, "_MAX_READ_ENTRIES", 3)
    for number, size in enumerate((1, 2, 3, 8, 1, 1, 1, 1, 4), start=1):
        await revoked(ports, *(whole(f"{number}-{each}") for each in range(size)))
    read: list[list[Change]] = [[]]
    while not read[-1] or read[-1][-1].number < 9:
        after = read[-1][-1].number if read[-1] else 0
        read.append([*await ports.revocations.changes_after(after, 100)])
        assert read[-1]
    changes = [each for some in read for each in some]
    assert [each.number for each in changes] == list(range(1, 10))
    assert [len(each.revocations) for each in changes] == [1, 2, 3, 8, 1, 1, 1, 1, 4]
    if len(read) > 2:  # memory has no need to
        sizes = [sum(len(each.revocations) for each in some) for some in read[1:]]
        assert sizes == [3, 3, 8, 3, 1, 4]


@pytest.mark.parametrize("again", [whole("a"), part("a", 1), Revocation("a", None, NOW)])
async def test_what_stands_already_uses_up_no_revision(ports: Ports, again: Revocation) -> None:
    await revoked(ports, whole("a"))
    done = await revoked(ports, again)
    assert (done.entries, done.number) == (0, 1)
    assert len(await ports.audit.newest(9)) == 1
    assert len(await ports.revocations.changes_after(0, 9)) == 1


async def test_only_what_is_new_is_added(ports: Ports) -> None:
    await revoked(ports, part("a", 1))
    done = await revoked(ports, part("a", 1), part("a", 2), part("b", 1))
    assert done.entries == 2
    assert set((await ports.revocations.changes_after(1, 9))[0].revocations) == {part("a", 2), part("b", 1)}


async def test_an_entry_named_twice_in_a_call_is_added_once(ports: Ports) -> None:
    done = await revoked(ports, part("a", 1), Revocation("a", branch(1), None), whole("b"), part("b", 1))
    assert done.entries == 2


async def test_a_whole_token_can_be_revoked_after_its_branches(ports: Ports) -> None:
    await revoked(ports, part("a", 1))
    assert (await revoked(ports, whole("a"))).entries == 1


async def test_revoking_nothing_changes_nothing(ports: Ports) -> None:
    done = await revoked(ports)
    assert (done.entries, done.number) == (0, 0)


async def test_changes_come_in_order_and_no_more_than_asked_for(ports: Ports) -> None:
    for each in range(7):
        await revoked(ports, whole(f"t{each}"), part(f"u{each}", 1))
    changes = await ports.revocations.changes_after(2, 3)
    assert [each.number for each in changes] == [3, 4, 5]
    assert all(len(each.revocations) == 2 for each in changes)
    assert await ports.revocations.changes_after(7, 3) == []


async def test_a_whole_revocation_is_written_on_the_record_once(ports: Ports) -> None:
    minted = await ports.tokens.add(record(), OPERATOR, None, NOW)
    await ports.revocations.revoke([whole(minted.token_id)], holder("m"), "leaked", None, NOW + 1)
    await ports.revocations.revoke([whole(minted.token_id)], OPERATOR, "again", None, NOW + 2)
    found = await ports.tokens.get(minted.token_id)
    assert found is not None
    assert (found.revoked_at, found.revoked_by, found.revoke_reason) == (NOW + 1, "m", "leaked")


async def test_every_revision_has_a_mark_and_names_the_one_before(ports: Ports) -> None:
    first = await ports.revocations.reading(NOW)
    for each in range(3):
        await revoked(ports, whole(f"t{each}"))
    changes = await ports.revocations.changes_after(0, 9)
    assert [each.before for each in changes] == [first.mark, changes[0].mark, changes[1].mark]
    assert (await ports.revocations.reading(NOW)).mark == changes[2].mark
    assert len({first.mark, *(each.mark for each in changes)}) == 4
    assert [await ports.revocations.mark_of(each.number) for each in changes] == [e.mark for e in changes]
    assert await ports.revocations.mark_of(4) is None
    assert await ports.revocations.changes_after(3, 9) == []
    with pytest.raises(RevisionForgottenError):
        await ports.revocations.changes_after(4, 9)


async def test_everything_can_be_read_page_by_page(ports: Ports) -> None:
    entries = [Revocation("c", None, None), part("b", 1), part("b", 2), whole("a")]
    for each in entries:
        await revoked(ports, each)
    await revoked(ports, whole("b"))
    pages: list[Revocation] = []
    while page := await ports.revocations.page(4, pages[-1] if pages else None, 2):
        pages += page
    assert pages == [whole("a"), part("b", 1), part("b", 2), Revocation("c", None, None)]
    assert await ports.revocations.page(5, part("b", 2), 1) == [Revocation("c", None, None)]
    assert await ports.revocations.page(5, whole("a"), 1) == [whole("b")]


@pytest.mark.parametrize("ports", ["memory", "sqlite"], indirect=True)
async def test_what_is_over_is_forgotten_and_nothing_else(ports: Ports) -> None:
    await revoked(ports, Revocation("ended", None, NOW), Revocation("for ever", None, None))
    await revoked(ports, whole("later"), Revocation("ended", branch(1), NOW))
    await revoked(ports, Revocation("last", None, NOW + 1))
    revocations = ports.revocations
    await revocations.reading(NOW + KEPT_SECONDS)
    assert [await revocations.prune(9) for _ in range(2)] == [1, 0]  # revision 0, used long before NOW
    await revocations.reading(NOW + KEPT_SECONDS + 1)
    assert await revocations.prune(9) == 1
    left = await revocations.page(3, None, 9)
    assert [each.token_id for each in left] == ["for ever", "last", "later"]
    assert [len(each.revocations) for each in await revocations.changes_after(1, 9)] == [1, 1]
    await revocations.reading(NOW + LINKED_SECONDS + 2)
    assert [await revocations.prune(2) for _ in range(2)] == [4, 0]  # two entries, two revisions
    assert [await revocations.mark_of(each) is not None for each in range(4)] == [False] * 3 + [True]
    assert (await revoked(ports, whole("new"))).number == 4
    assert [each.number for each in await revocations.changes_after(3, 9)] == [4]
    with pytest.raises(RevisionForgottenError):
        await revocations.changes_after(2, 9)


async def test_a_revoked_branch_leaves_the_record_alone(ports: Ports) -> None:
    minted = await ports.tokens.add(record(), OPERATOR, None, NOW)
    await revoked(ports, part(minted.token_id, 1))
    assert await ports.tokens.get(minted.token_id) == minted


async def test_every_entry_is_audited_under_its_revision(ports: Ports) -> None:
    await revoked(ports, whole("a"), part("b", 1))
    rows = await ports.audit.newest(9)
    assert {row.target for row in rows} == {"a", f"b/{branch(1).hex()}"}
    assert {(row.at, row.actor, row.action, row.detail, row.revision) for row in rows} == {
        (NOW, "operator", "token.revoked", "leaked", 1)
    }


async def test_the_same_request_gives_the_answer_of_the_first_time(ports: Ports) -> None:
    first = await revoked(ports, whole("a"), request=REQUEST)
    await revoked(ports, whole("b"))
    again = await revoked(ports, whole("a"), request=REQUEST)
    assert (again.entries, again.number) == (1, 1)
    assert again.epoch == first.epoch


async def test_a_request_id_used_for_another_content_is_refused(ports: Ports) -> None:
    await revoked(ports, whole("a"), request=REQUEST)
    with pytest.raises(RequestReusedError):
        await revoked(ports, whole("b"), request=Idempotency(REQUEST.key, b"else"))
    assert (await ports.revocations.reading(NOW)).number == 1
    assert len(await ports.audit.newest(9)) == 1


async def test_a_request_is_forgotten_after_a_day(ports: Ports) -> None:
    await revoked(ports, whole("a"), request=REQUEST)
    other = Idempotency(REQUEST.key, b"else")
    done = await ports.revocations.revoke([whole("b")], OPERATOR, "", other, NOW + DAY)
    assert done.entries == 1


@pytest.mark.parametrize("ports", ["memory", "sqlite"], indirect=True)
async def test_the_stores_time_is_the_highest_it_was_told(ports: Ports) -> None:
    times = [NOW, NOW + 3, NOW - 500, NOW + 2, NOW + 90, NOW + 60, 0]
    readings = [(await ports.revocations.reading(each)).store_time for each in times]
    assert readings == [NOW, NOW + 3, NOW + 3, NOW + 3, NOW + 90, NOW + 90, NOW + 90]


@pytest.mark.parametrize("ports", ["memory", "sqlite"], indirect=True)
async def test_a_revocation_moves_the_stores_time_too(ports: Ports) -> None:
    await ports.revocations.revoke([whole("a")], OPERATOR, "", None, NOW + 9)
    assert (await ports.revocations.reading(NOW)).store_time == NOW + 9


async def test_of_several_at_once_who_want_the_same_one_made_the_entry(ports: Ports) -> None:
    minted = await ports.tokens.add(record(), OPERATOR, None, NOW)
    entry, reasons = whole(minted.token_id), [f"reason {each // 3}" for each in range(9)]
    done = await asyncio.gather(
        *(ports.revocations.revoke([entry, whole("b")], OPERATOR, each, None, NOW) for each in reasons),
        revoked(ports, part(minted.token_id, 1), part("c", 1)),
    )
    assert [each.entries for each in done[:-1]] == [2, *[0] * 8]
    assert done[-1].entries == 1
    assert {each.number for each in done} <= {1, 2}
    rows = await ports.audit.newest(9)
    assert [(row.target, row.detail) for row in rows if row.detail in reasons] == [
        ("b", "reason 0"),
        (minted.token_id, "reason 0"),
    ]
    found = await ports.tokens.get(minted.token_id)
    assert found is not None
    assert found.revoke_reason == "reason 0"


async def test_a_request_made_several_times_at_once_is_answered_alike(ports: Ports) -> None:
    done = await asyncio.gather(*(revoked(ports, whole("a"), request=REQUEST) for _ in range(5)))
    assert done == [done[0]] * 5
    assert done[0].entries == 1
    assert len(await ports.audit.newest(9)) == 1


async def test_who_is_refused_leaves_nothing_behind_and_those_beside_are_served(ports: Ports) -> None:
    other = Idempotency(REQUEST.key, b"other content")
    done = await asyncio.gather(
        revoked(ports, whole("a"), request=REQUEST),
        revoked(ports, whole("b"), request=other),
        revoked(ports, whole("c")),
        return_exceptions=True,
    )
    assert isinstance(done[1], RequestReusedError)
    assert [each.entries for each in done if isinstance(each, RevokeReceipt)] == [1, 1]
    changes = await ports.revocations.changes_after(0, 9)
    assert {of for each in changes for of in each.revocations} == {whole("a"), whole("c")}


async def test_a_cancelled_caller_leaves_a_whole_transaction(ports: Ports) -> None:
    for each in range(20):
        task = asyncio.create_task(revoked(ports, whole(f"t{each}"), part(f"u{each}", 1)))
        await asyncio.sleep(0.0005 * (each % 5))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await revoked(ports, whole("last"))
    *changes, last = await ports.revocations.changes_after(0, 99)
    assert [each.number for each in changes] == list(range(1, len(changes) + 1))
    told = [{each.token_id for each in change.revocations} for change in changes]
    assert all(names == {f"{kind}{name[1:]}" for name in names for kind in "tu"} for names in told)
    assert whole("last") in last.revocations
    entries = sum(len(each.revocations) for each in (*changes, last))
    assert len(await ports.audit.newest(99)) == entries


async def test_keys_come_back_oldest_first_and_audited(ports: Ports) -> None:
    added = [SealedKey("k2", b"\x00\xff", NOW), SealedKey("k1", b"sealed", NOW)]
    for key in added:
        await ports.keys.add(key, OPERATOR, NOW)
    assert list(await ports.keys.all()) == added
    assert [(row.action, row.target) for row in await ports.audit.newest(9)] == [
        ("key.added", "k1"),
        ("key.added", "k2"),
    ]


async def test_the_newest_audit_rows_come_first(ports: Ports) -> None:
    for each in range(5):
        await revoked(ports, whole(f"t{each}"))
    assert [row.target for row in await ports.audit.newest(3)] == ["t4", "t3", "t2"]


async def test_a_new_epoch_goes_on_with_the_numbers_and_turns_back_a_time_that_was_wrong(
    ports: Ports,
) -> None:
    done = await ports.revocations.revoke([whole("a")], OPERATOR, "", None, NOW)
    wrong = await ports.revocations.reading(NOW + 10**8)
    begun = await ports.revocations.begin_epoch(OPERATOR, NOW)
    assert begun.epoch != wrong.epoch
    assert begun.number == done.number
    again = await ports.revocations.reading(NOW)
    assert (again.epoch, again.number, again.mark) == (begun.epoch, wrong.number, wrong.mark)
    assert again.store_time < NOW + 10**8


async def test_requests_that_are_over_are_forgotten_some_at_a_time(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_requests, "_MAX_DELETED", 2)
    for number in range(5):
        await revoked(ports, whole(f"old{number}"), request=Idempotency(b"old%d" % number, b"content"))
    for number in range(4):
        request = Idempotency(b"new%d" % number, b"content")
        await ports.revocations.revoke(
            [whole(f"new{number}")], OPERATOR, "leaked", request, NOW + DAY + 1 + number
        )
        assert await ports.revocations.answered(Idempotency(b"old4", b"else"), NOW + DAY + 1) is None
    done = await revoked(ports, whole("again"), request=Idempotency(b"old0", b"content"))
    assert done.entries == 1
