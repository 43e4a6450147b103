"""What every store owes as `rotations.Rotations`.

No test waits until an overlap has passed: PostgreSQL has a clock of its own. A rotation with the overlap
`PASSED` is due from the start, as one that was begun long ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from almond_server.domain.records import Record
from almond_server.domain.revocations import CutOff, Revocation, Scope
from almond_server.domain.rotations import Rotation
from almond_server.domain.stores import Actor, AuditRow, Idempotency
from almond_server.errors import (
    AlreadyRotatedError,
    IssuedTooEarlyError,
    MinterRevokedError,
    NotRotatedError,
    RecordNotFoundError,
    RequestReusedError,
    TokenEndedError,
)
from support.samples import DAY, NOW, OPERATOR, Ports, holder, record, whole

REQUEST = Idempotency(b"rotate\x00caller\x00one", b"content")
HOUR, PASSED = 3600, -10
ROTATOR = holder("rotator", 1)


async def minted(ports: Ports, **changes: object) -> Record:
    return await ports.tokens.add(record(**changes), OPERATOR, None, NOW)


async def rotate(
    ports: Ports,
    old: Record,
    overlap: int = HOUR,
    actor: Actor = ROTATOR,
    request: Idempotency | None = None,
) -> Rotation:
    """Rotate a token; its successor is issued a second after it."""
    successor = record(created_at_ms=old.created_at_ms + 1000, org=old.org, subject=old.subject)
    return await ports.rotations.add(successor, old.token_id, overlap, actor, request, NOW)


async def rotated(ports: Ports, overlap: int = HOUR) -> Rotation:
    return await rotate(ports, await minted(ports), overlap)


async def found(ports: Ports, token_id: str) -> Record:
    record = await ports.tokens.get(token_id)
    assert record is not None
    return record


async def rows(ports: Ports) -> list[AuditRow]:
    """Return the audit rows that a rotation can have, oldest first, without those of the operator's mints."""
    newest = await ports.audit.newest(99)
    return [row for row in newest[::-1] if (row.actor, row.action) != ("operator", "token.minted")]


async def state(ports: Ports) -> tuple[int, int]:
    """Return the newest revision, and how many audit rows there are."""
    return (await ports.revocations.reading(NOW)).number, len(await ports.audit.newest(999))


# To rotate.


async def test_a_rotation_records_a_successor_and_when_its_predecessor_is_revoked(ports: Ports) -> None:
    before = (await ports.revocations.reading(NOW)).store_time
    done = await rotated(ports)
    after = (await ports.revocations.reading(NOW)).store_time
    assert done.rotated.revoke_due is not None
    assert before + HOUR <= done.rotated.revoke_due <= after + HOUR
    assert done.rotated.successor == done.successor.token_id
    for each in (done.rotated, done.successor):
        assert await ports.tokens.get(each.token_id) == each
        assert each.revoked_at is None
    assert (done.successor.successor, done.successor.revoke_due) == ("", None)
    assert (await ports.revocations.reading(NOW)).number == 0


async def test_a_rotation_is_audited_as_a_mint_and_as_a_rotation(ports: Ports) -> None:
    done = await rotated(ports)
    mint, rotation = await rows(ports)
    new, old = done.successor.token_id, done.rotated.token_id
    assert mint == AuditRow(NOW, "rotator", "token.minted", new, "deploy", 0)
    assert replace(rotation, detail="") == AuditRow(NOW, "rotator", "token.rotated", old, "", 0)
    assert rotation.detail.startswith(f"succeeded by {new}, revoked on 20")


async def test_without_an_overlap_the_token_is_revoked_in_the_same_transaction(ports: Ports) -> None:
    done = await rotated(ports, 0)
    reading = await ports.revocations.reading(NOW)
    (change,) = await ports.revocations.changes_after(0, 9)
    assert (change.number, reading.number) == (1, 1)
    assert change.revocations == (Revocation(done.rotated.token_id, None, NOW + DAY),)
    assert done.rotated == await found(ports, done.rotated.token_id)
    assert (done.rotated.revoked_at, done.rotated.revoked_by) == (NOW, "rotator")
    assert done.rotated.revoke_reason == f"rotated: succeeded by {done.successor.token_id}"
    assert [row.action for row in await rows(ports)] == ["token.minted", "token.rotated", "token.revoked"]
    assert (await ports.rotations.next_due(NOW)).due is None


async def test_the_same_request_gets_the_first_rotation_again(ports: Ports) -> None:
    old = await minted(ports)
    done = await rotate(ports, old, request=REQUEST)
    before = await state(ports)
    assert await rotate(ports, old, request=REQUEST) == done
    assert await ports.rotations.answered(REQUEST, old.token_id, NOW) == done
    assert await state(ports) == before
    other = Idempotency(REQUEST.key, b"else")
    with pytest.raises(RequestReusedError):
        await rotate(ports, old, request=other)
    with pytest.raises(RequestReusedError):
        await ports.rotations.answered(other, old.token_id, NOW)
    assert await ports.rotations.answered(REQUEST, old.token_id, NOW + DAY) is None


async def test_a_token_is_not_rotated_twice(ports: Ports) -> None:
    done = await rotated(ports)
    before = await state(ports)
    with pytest.raises(AlreadyRotatedError, match=done.successor.token_id):
        await rotate(ports, done.rotated)
    assert await state(ports) == before
    again = await rotate(ports, done.successor)
    assert (await found(ports, done.successor.token_id)).successor == again.successor.token_id


async def test_of_rotations_at_once_one_is_done(ports: Ports) -> None:
    old = await minted(ports)
    outcomes = await asyncio.gather(*(rotate(ports, old) for _ in range(5)), return_exceptions=True)
    (done,) = [each for each in outcomes if isinstance(each, Rotation)]
    assert sum(isinstance(each, AlreadyRotatedError) for each in outcomes) == 4
    assert (await found(ports, old.token_id)).successor == done.successor.token_id
    assert len([row for row in await rows(ports) if row.action == "token.minted"]) == 1


Ended = Callable[[Ports, Record], Coroutine[Any, Any, object]]


async def is_revoked(ports: Ports, old: Record) -> None:
    await ports.revocations.revoke([whole(old.token_id)], OPERATOR, "", None, NOW)


async def is_cut_off(ports: Ports, old: Record) -> None:
    cut_off = CutOff(Scope.ORG, old.org, old.created_at_ms)
    await ports.revocations.revoke([], OPERATOR, "", None, NOW, [cut_off])


@pytest.mark.parametrize("end", [is_revoked, is_cut_off])
async def test_a_token_that_was_revoked_is_not_rotated(ports: Ports, end: Ended) -> None:
    old = await minted(ports)
    await end(ports, old)
    before = await state(ports)
    with pytest.raises(TokenEndedError, match="revoked"):
        await rotate(ports, old)
    assert await state(ports) == before


async def test_a_token_that_expired_or_was_never_minted_is_not_rotated(ports: Ports) -> None:
    with pytest.raises(TokenEndedError, match="expired"):
        await rotate(ports, await minted(ports, expires_at=NOW))
    with pytest.raises(RecordNotFoundError):
        await rotate(ports, record())


async def test_a_revoked_actor_rotates_nothing_and_takes_nothing_back(ports: Ports) -> None:
    done, other = await rotated(ports), await minted(ports)
    await ports.revocations.revoke([whole("rotator")], OPERATOR, "", None, NOW)
    before = await state(ports)
    with pytest.raises(MinterRevokedError):
        await rotate(ports, other)
    with pytest.raises(MinterRevokedError):
        await ports.rotations.take_back(done.rotated.token_id, ROTATOR, None, NOW)
    assert await state(ports) == before


async def test_a_successor_is_issued_after_the_cut_offs_of_its_org(ports: Ports) -> None:
    old = await minted(ports, subject="ann")
    other = CutOff(Scope.SUBJECT, "bob", NOW * 1000 + 9999)
    await ports.revocations.revoke([], OPERATOR, "", None, NOW, [other])
    successor = record(subject="bob", created_at_ms=NOW * 1000 + 9999)
    with pytest.raises(IssuedTooEarlyError):
        await ports.rotations.add(successor, old.token_id, HOUR, ROTATOR, None, NOW)
    assert await ports.tokens.get(successor.token_id) is None
    assert (await found(ports, old.token_id)).revoke_due is None


# To carry it out.


async def test_what_is_due_is_revoked_once_by_the_actor_that_rotated_it(ports: Ports) -> None:
    done, later = await rotated(ports, PASSED), await rotated(ports, HOUR)
    assert await ports.rotations.carry_out(9, NOW) == 1
    (change,) = await ports.revocations.changes_after(0, 9)
    assert change.revocations == (Revocation(done.rotated.token_id, None, NOW + DAY),)
    old, reason = (
        await found(ports, done.rotated.token_id),
        f"rotated: succeeded by {done.successor.token_id}",
    )
    assert (old.revoked_at, old.revoked_by, old.revoke_reason) == (NOW, "rotator", reason)
    assert (await rows(ports))[-1] == AuditRow(NOW, "rotator", "token.revoked", old.token_id, reason, 1)
    before = await state(ports)
    assert await ports.rotations.carry_out(9, NOW) == 0
    assert await state(ports) == before
    for each in (done.successor, later.rotated, later.successor):
        assert (await found(ports, each.token_id)).revoked_at is None


async def test_each_is_revoked_for_its_own_successor_the_earliest_first(ports: Ports) -> None:
    done = [await rotated(ports, overlap) for overlap in (PASSED, PASSED - 20, PASSED - 10)]
    assert await ports.rotations.carry_out(2, NOW) == 2
    (change,) = await ports.revocations.changes_after(0, 9)
    assert {each.token_id for each in change.revocations} == {each.rotated.token_id for each in done[1:]}
    assert await ports.rotations.carry_out(2, NOW) == 1
    for each in done:
        reason = (await found(ports, each.rotated.token_id)).revoke_reason
        assert reason == f"rotated: succeeded by {each.successor.token_id}"


async def test_relays_that_carry_out_at_once_revoke_it_once(ports: Ports) -> None:
    await rotated(ports, PASSED)
    assert sorted(await asyncio.gather(*(ports.rotations.carry_out(9, NOW) for _ in range(5)))) == [0] * 4 + [
        1
    ]
    assert [row.action for row in await rows(ports)].count("token.revoked") == 1
    assert (await ports.revocations.reading(NOW)).number == 1


@pytest.mark.parametrize("end", [is_revoked, is_cut_off])
async def test_a_token_that_was_revoked_meanwhile_has_nothing_more_done_to_it(
    ports: Ports, end: Ended
) -> None:
    done = await rotated(ports, PASSED)
    await end(ports, done.rotated)
    before = await state(ports)
    await ports.rotations.carry_out(9, NOW)
    assert await state(ports) == before
    assert (await found(ports, done.rotated.token_id)).revoke_reason == ""
    assert (await ports.rotations.next_due(NOW)).due is None
    assert await ports.rotations.carry_out(9, NOW) == 0


async def test_a_token_that_expired_meanwhile_is_revoked_all_the_same(ports: Ports) -> None:
    done = await rotated(ports, PASSED)
    assert await ports.rotations.carry_out(9, NOW + DAY) == 1
    assert (await found(ports, done.rotated.token_id)).revoked_at == NOW + DAY


async def test_the_next_due_rotation_is_the_earliest_of_those_pending(ports: Ports) -> None:
    assert (await ports.rotations.next_due(NOW)).due is None
    done = [await rotated(ports, overlap) for overlap in (DAY, HOUR, PASSED)]
    dues = [each.rotated.revoke_due for each in done]
    for expected in dues[::-1]:
        assert (await ports.rotations.next_due(NOW)).due == expected
        earliest = done[dues.index(expected)].rotated
        await ports.revocations.revoke([whole(earliest.token_id)], OPERATOR, "", None, NOW)
    assert (await ports.rotations.next_due(NOW)).due is None


async def test_the_time_is_that_of_the_store(ports: Ports) -> None:
    reading = (await ports.revocations.reading(NOW)).store_time
    assert reading <= (await ports.rotations.next_due(NOW)).store_time <= reading + 60
    # A server with a wrong clock does not turn it back.
    assert (await ports.rotations.next_due(NOW - DAY)).store_time >= reading


# To take it back.


async def test_a_rotation_that_is_taken_back_leaves_the_old_token_as_it_was(ports: Ports) -> None:
    old = await minted(ports)
    done = await rotate(ports, old)
    undone = await ports.rotations.take_back(old.token_id, ROTATOR, None, NOW)
    assert undone.rotated == old == await found(ports, old.token_id)
    assert undone.successor == await found(ports, done.successor.token_id)
    reason = f"the rotation of {old.token_id} was taken back"
    assert (undone.successor.revoked_by, undone.successor.revoke_reason) == ("rotator", reason)
    (change,) = await ports.revocations.changes_after(0, 9)
    assert [each.token_id for each in change.revocations] == [done.successor.token_id]
    taken, revoked = (await rows(ports))[-2:]
    new = done.successor.token_id
    assert taken == AuditRow(NOW, "rotator", "token.rotation_taken_back", old.token_id, new, 0)
    assert revoked == AuditRow(NOW, "rotator", "token.revoked", new, reason, 1)
    assert (await ports.rotations.next_due(NOW)).due is None
    assert (await rotate(ports, old)).rotated.successor


async def test_a_rotation_whose_successor_was_revoked_can_be_taken_back(ports: Ports) -> None:
    done = await rotated(ports)
    await ports.revocations.revoke([whole(done.successor.token_id)], OPERATOR, "lost", None, NOW)
    undone = await ports.rotations.take_back(done.rotated.token_id, ROTATOR, None, NOW)
    assert (undone.rotated.revoke_due, undone.successor.revoke_reason) == (None, "lost")
    assert (await ports.revocations.reading(NOW)).number == 1


async def test_only_a_pending_rotation_can_be_taken_back(ports: Ports) -> None:
    done = await rotated(ports, PASSED)
    await ports.rotations.carry_out(9, NOW)
    before = await state(ports)
    with pytest.raises(TokenEndedError):
        await ports.rotations.take_back(done.rotated.token_id, ROTATOR, None, NOW)
    with pytest.raises(NotRotatedError):
        await ports.rotations.take_back(done.successor.token_id, ROTATOR, None, NOW)
    with pytest.raises(RecordNotFoundError):
        await ports.rotations.take_back("nobody", ROTATOR, None, NOW)
    assert await state(ports) == before


async def test_one_that_is_due_and_not_carried_out_can_be_taken_back(ports: Ports) -> None:
    done = await rotated(ports, PASSED)
    await ports.rotations.take_back(done.rotated.token_id, ROTATOR, None, NOW)
    assert await ports.rotations.carry_out(9, NOW) == 0
    assert (await found(ports, done.rotated.token_id)).revoked_at is None


async def test_a_repeated_request_takes_back_once(ports: Ports) -> None:
    done = await rotated(ports)
    undone = await ports.rotations.take_back(done.rotated.token_id, ROTATOR, REQUEST, NOW)
    again = await rotate(ports, undone.rotated)
    answer = await ports.rotations.take_back(done.rotated.token_id, ROTATOR, REQUEST, NOW)
    assert answer == Rotation(undone.successor, again.rotated)
    assert (await found(ports, done.rotated.token_id)).successor == again.successor.token_id


async def test_to_take_back_and_to_carry_out_at_once_leaves_one_of_the_two_tokens(ports: Ports) -> None:
    for _ in range(5):
        done = await rotated(ports, PASSED)
        await asyncio.gather(
            ports.rotations.take_back(done.rotated.token_id, ROTATOR, None, NOW),
            ports.rotations.carry_out(9, NOW),
            return_exceptions=True,
        )
        old, new = await found(ports, done.rotated.token_id), await found(ports, done.successor.token_id)
        assert (old.revoked_at is None) != (new.revoked_at is None)
