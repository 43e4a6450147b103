"""What every store owes as `stores.Tokens`."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almond_server.domain.records import Record
from almond_server.domain.selections import Listing
from almond_server.domain.stores import Idempotency
from almond_server.errors import MinterRevokedError, RequestReusedError
from fakes.store import MemoryStore, MemoryTokens
from support.samples import DAY, EVERYTHING, NOW, OPERATOR, Ports, branch, holder, part, record, whole

REQUEST = Idempotency(b"mint\x00caller\x00one", b"content")


async def minted(ports: Ports, **changes: object) -> Record:
    return await ports.tokens.add(record(**changes), OPERATOR, None, NOW)


async def test_a_record_is_returned_as_it_was_added(ports: Ports) -> None:
    added = record(expires_at=None, subject="user-\u00e9", minter_branch_ids=())
    assert await ports.tokens.add(added, OPERATOR, None, NOW) == added
    assert await ports.tokens.get(added.token_id) == added


async def test_an_unknown_token_has_no_record(ports: Ports) -> None:
    assert await ports.tokens.get("nobody") is None


async def test_ids_are_told_apart_by_case(ports: Ports) -> None:
    upper, lower = await minted(ports, token_id="TOKEN-A"), await minted(ports, token_id="token-a")
    assert await ports.tokens.get("TOKEN-A") == upper
    await ports.revocations.revoke([whole("TOKEN-A")], OPERATOR, "", None, NOW)
    assert await ports.tokens.get("token-a") == lower
    await ports.tokens.add(record(), holder("token-a"), None, NOW)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pages_hold_every_record_once_and_newest_first(ports: Ports, size: int) -> None:
    times = [NOW * 1000 + each for each in (5, 1, 5, 3, 5, 2, 1)]
    added = [await minted(ports, created_at_ms=each) for each in times]
    seen: list[Record] = []
    after = None
    while page := await ports.tokens.page(EVERYTHING, after, size):
        assert len(page) <= size
        seen += page
        after = (page[-1].created_at_ms, page[-1].token_id)
    assert seen == sorted(added, key=lambda each: (each.created_at_ms, each.token_id), reverse=True)


async def test_tokens_minted_between_two_pages_shift_nothing(ports: Ports) -> None:
    old = [await minted(ports, created_at_ms=each) for each in (1, 2, 3)]
    first = await ports.tokens.page(EVERYTHING, None, 2)
    await minted(ports, created_at_ms=4)
    second = await ports.tokens.page(EVERYTHING, (first[-1].created_at_ms, first[-1].token_id), 2)
    assert [*first, *second] == old[::-1]


async def test_a_listing_keeps_to_its_org_and_app(ports: Ports) -> None:
    web, api = await minted(ports), await minted(ports, app="api")
    await minted(ports, org="other")
    assert set(await ports.tokens.page(EVERYTHING, None, 9)) == {web, api}
    only_api = Listing("acme", "api", show_all=True, now=NOW)
    assert await ports.tokens.page(only_api, None, 9) == [api]


async def test_the_dead_are_listed_only_when_asked_for(ports: Ports) -> None:
    living = [await minted(ports), await minted(ports, expires_at=None)]
    await minted(ports, expires_at=NOW)  # at its end it is over
    revoked = await minted(ports)
    await ports.revocations.revoke([whole(revoked.token_id)], OPERATOR, "", None, NOW)
    live = Listing("acme", None, show_all=False, now=NOW)
    assert set(await ports.tokens.page(live, None, 9)) == set(living)
    assert len(await ports.tokens.page(EVERYTHING, None, 9)) == 4


async def test_the_same_request_gives_the_record_of_the_first_time(ports: Ports) -> None:
    first = await ports.tokens.add(record(), OPERATOR, REQUEST, NOW)
    again = record()
    assert await ports.tokens.add(again, OPERATOR, REQUEST, NOW + DAY - 1) == first
    assert await ports.tokens.get(again.token_id) is None
    assert len(await ports.audit.newest(9)) == 1


async def test_the_same_request_gives_a_revoked_record_as_revoked(ports: Ports) -> None:
    first = await ports.tokens.add(record(), OPERATOR, REQUEST, NOW)
    await ports.revocations.revoke([whole(first.token_id)], OPERATOR, "leaked", None, NOW)
    again = await ports.tokens.add(record(), OPERATOR, REQUEST, NOW)
    assert (again.token_id, again.revoked_at, again.revoke_reason) == (first.token_id, NOW, "leaked")


async def test_a_request_id_used_for_another_content_is_refused(ports: Ports) -> None:
    await ports.tokens.add(record(), OPERATOR, REQUEST, NOW)
    other = record()
    with pytest.raises(RequestReusedError):
        await ports.tokens.add(other, OPERATOR, Idempotency(REQUEST.key, b"else"), NOW)
    assert await ports.tokens.get(other.token_id) is None
    assert len(await ports.audit.newest(9)) == 1


async def test_a_request_is_forgotten_after_a_day(ports: Ports) -> None:
    await ports.tokens.add(record(), OPERATOR, REQUEST, NOW)
    later = record()
    other = Idempotency(REQUEST.key, b"else")
    assert await ports.tokens.add(later, OPERATOR, other, NOW + DAY) == later


@pytest.mark.parametrize("revoked", [whole("m"), part("m", 1), part("m", 2), part("m", 3)])
async def test_a_revoked_minter_records_nothing(ports: Ports, revoked: object) -> None:
    await ports.revocations.revoke([revoked], OPERATOR, "", None, NOW)  # type: ignore[list-item]
    new = record()
    with pytest.raises(MinterRevokedError):
        await ports.tokens.add(new, holder("m", 1, 2, 3), None, NOW)
    assert await ports.tokens.get(new.token_id) is None
    assert [row.action for row in await ports.audit.newest(9)] == ["token.revoked"]


async def test_a_revoked_minter_does_not_get_the_answer_of_before_either(ports: Ports) -> None:
    await ports.tokens.add(record(), holder("m", 1), REQUEST, NOW)
    await ports.revocations.revoke([whole("m")], OPERATOR, "", None, NOW)
    with pytest.raises(MinterRevokedError):
        await ports.tokens.add(record(), holder("m", 1), REQUEST, NOW)


async def test_siblings_descendants_and_other_tokens_do_not_matter(ports: Ports) -> None:
    others = [part("m", 3), whole("n"), part("n", 1)]
    await ports.revocations.revoke(others, OPERATOR, "", None, NOW)
    new = record()
    assert await ports.tokens.add(new, holder("m", 1, 2), None, NOW) == new


async def test_minting_is_audited(ports: Ports) -> None:
    new = await ports.tokens.add(record(), holder("m", 1), None, NOW)
    (row,) = await ports.audit.newest(9)
    assert (row.at, row.actor, row.action, row.target, row.revision) == (
        NOW,
        "m",
        "token.minted",
        new.token_id,
        0,
    )


async def test_no_token_is_recorded_after_its_minters_revocation_was_acknowledged(ports: Ports) -> None:
    acknowledged = asyncio.Event()
    late: list[Record] = []

    async def mint(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        asked_late = acknowledged.is_set()
        try:
            new = await ports.tokens.add(record(), holder("m", 1, 2), None, NOW)
        except MinterRevokedError:
            return
        if asked_late:
            late.append(new)

    async def revoke() -> int:
        await asyncio.sleep(0.005)
        await ports.revocations.revoke([part("m", 2)], OPERATOR, "", None, NOW)
        acknowledged.set()
        return len(await ports.tokens.page(EVERYTHING, None, 1000))

    recorded, *_ = await asyncio.gather(revoke(), *(mint(each % 20) for each in range(150)))
    await mint(0)
    assert not late
    assert len(await ports.tokens.page(EVERYTHING, None, 1000)) == recorded


@settings(max_examples=60, deadline=None)
@given(times=st.lists(st.integers(0, 5), max_size=12), size=st.integers(1, 5))
def test_paging_is_a_partition_whatever_the_times(times: list[int], size: int) -> None:
    async def walk() -> None:
        tokens = MemoryTokens(MemoryStore())
        for each in times:
            await tokens.add(record(created_at_ms=each, minter_branch_ids=(branch(1),)), OPERATOR, None, NOW)
        seen, after = [], None
        while page := await tokens.page(EVERYTHING, after, size):
            seen += [(each.created_at_ms, each.token_id) for each in page]
            after = seen[-1]
        assert seen == sorted(seen, reverse=True)
        assert len(set(seen)) == len(times)

    asyncio.run(walk())


async def test_home_orgs_are_those_of_the_records_that_there_are(ports: Ports) -> None:
    added = {org: await minted(ports, org=org) for org in ("acme", "other", "", "almond")}
    await minted(ports)
    unknown = [f"token-nobody-{each}" for each in range(1200)]
    asked = [*unknown, *(each.token_id for each in added.values())]
    assert await ports.tokens.home_orgs(asked) == {each.token_id: org for org, each in added.items()}
    assert await ports.tokens.home_orgs([]) == {}
