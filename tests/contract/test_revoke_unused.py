"""What every store owes for `Revocations.revoke_if_unused`."""

from __future__ import annotations

import asyncio

import pytest

from almond_server.domain.records import Record, Use
from almond_server.domain.stores import Idempotency
from almond_server.errors import TokenInUseError
from support.samples import DAY, NOW, OPERATOR, Ports, branch, holder, record, whole

SINCE = NOW - 7 * DAY
LONG_AGO = (NOW - 30 * DAY) * 1000
REQUEST = Idempotency(b"revoke\x00caller\x00one", b"content")


async def minted(ports: Ports, created_at_ms: int = LONG_AGO, used: int | None = None) -> Record:
    made = await ports.tokens.add(record(created_at_ms=created_at_ms), OPERATOR, None, NOW)
    if used is not None:
        await ports.tokens.record_last_used([Use(made.token_id, (), used)])
    return made


async def is_revoked(ports: Ports, of: Record) -> bool:
    kept = await ports.tokens.get(of.token_id)
    entries = await ports.revocations.page(99, None, 99)
    assert kept is not None
    assert (kept.revoked_at is not None) is any(each.token_id == of.token_id for each in entries)
    return kept.revoked_at is not None


@pytest.mark.parametrize(
    ("created_at_ms", "used"),
    [(LONG_AGO, None), (LONG_AGO, SINCE - DAY), (LONG_AGO, SINCE - 60), (SINCE * 1000 - 1, None)],
)
async def test_an_unused_token_is_revoked_as_any_other(
    ports: Ports, created_at_ms: int, used: int | None
) -> None:
    unused = await minted(ports, created_at_ms, used)
    receipt = await ports.revocations.revoke_if_unused(
        whole(unused.token_id), SINCE, holder("m"), "unused", None, NOW
    )
    assert (receipt.entries, receipt.number) == (1, 1)
    kept = await ports.tokens.get(unused.token_id)
    assert kept is not None
    assert (kept.revoked_at, kept.revoked_by, kept.revoke_reason) == (NOW, "m", "unused")
    (row, _) = await ports.audit.newest(2)
    assert (row.at, row.actor, row.action, row.target, row.detail, row.revision) == (
        *(NOW, "m", "token.revoked", unused.token_id, "unused", 1),
    )


@pytest.mark.parametrize(
    ("created_at_ms", "used"),
    [(LONG_AGO, SINCE - 59), (LONG_AGO, SINCE), (LONG_AGO, NOW), (SINCE * 1000, None), (NOW * 1000, None)],
)
async def test_a_token_made_or_used_since_is_refused_and_nothing_changes(
    ports: Ports, created_at_ms: int, used: int | None
) -> None:
    made = await minted(ports, created_at_ms, used)
    before = await ports.audit.newest(9)
    with pytest.raises(TokenInUseError):
        await ports.revocations.revoke_if_unused(whole(made.token_id), SINCE, OPERATOR, "", REQUEST, NOW)
    assert not await is_revoked(ports, made)
    assert await ports.audit.newest(9) == before
    assert (await ports.revocations.reading(NOW)).number == 0
    assert await ports.revocations.answered(REQUEST, NOW) is None


async def test_the_use_of_a_derived_token_keeps_its_minted_token(ports: Ports) -> None:
    made = await minted(ports)
    await ports.tokens.record_last_used([Use(made.token_id, (branch(1),), NOW)])
    with pytest.raises(TokenInUseError):
        await ports.revocations.revoke_if_unused(whole(made.token_id), SINCE, OPERATOR, "", None, NOW)


async def test_a_token_without_a_record_is_not_known_to_be_unused(ports: Ports) -> None:
    with pytest.raises(TokenInUseError):
        await ports.revocations.revoke_if_unused(whole("nobody"), SINCE, OPERATOR, "", None, NOW)
    assert (await ports.revocations.reading(NOW)).number == 0


async def test_a_revoked_token_is_revoked_again_without_an_entry_even_if_it_was_used(ports: Ports) -> None:
    made = await minted(ports, used=NOW)
    first = await ports.revocations.revoke([whole(made.token_id)], OPERATOR, "", None, NOW)
    again = await ports.revocations.revoke_if_unused(whole(made.token_id), SINCE, OPERATOR, "", None, NOW)
    assert (again.entries, again.number) == (0, first.number)


async def test_a_repeated_request_is_answered_as_before_though_a_use_was_reported_since(ports: Ports) -> None:
    made = await minted(ports)
    first = await ports.revocations.revoke_if_unused(whole(made.token_id), SINCE, OPERATOR, "", REQUEST, NOW)
    await ports.tokens.record_last_used([Use(made.token_id, (), NOW)])
    again = await ports.revocations.revoke_if_unused(whole(made.token_id), SINCE, OPERATOR, "", REQUEST, NOW)
    assert again == first


async def test_a_refusal_concerns_no_call_that_shares_the_transaction(ports: Ports) -> None:
    used, unused = await minted(ports, used=NOW), await minted(ports)
    other = await minted(ports)
    outcomes = await asyncio.gather(
        ports.revocations.revoke_if_unused(whole(used.token_id), SINCE, OPERATOR, "", None, NOW),
        ports.revocations.revoke_if_unused(whole(unused.token_id), SINCE, OPERATOR, "", None, NOW),
        ports.revocations.revoke([whole(other.token_id)], OPERATOR, "", None, NOW),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], TokenInUseError)
    assert [await is_revoked(ports, each) for each in (used, unused, other)] == [False, True, True]


async def test_a_use_reported_before_the_revocation_is_always_seen(ports: Ports) -> None:
    """Of a report and a revocation at once, in any order: what was reported before keeps the token."""
    for _ in range(20):
        made, reported = await minted(ports), asyncio.Event()

        async def report(of: Record = made, done: asyncio.Event = reported) -> None:
            await ports.tokens.record_last_used([Use(of.token_id, (), NOW)])
            done.set()

        async def revoke(of: Record = made, done: asyncio.Event = reported) -> None:
            was_reported = done.is_set()
            try:
                receipt = await ports.revocations.revoke_if_unused(
                    whole(of.token_id), SINCE, OPERATOR, "", None, NOW
                )
            except TokenInUseError:
                return
            assert not (was_reported and receipt.entries)

        await asyncio.gather(report(), revoke(), revoke())
        await revoke()
        kept = await ports.tokens.get(made.token_id)
        assert kept is not None
        assert kept.revoked_at is not None or kept.last_used_at == NOW
