"""What every store owes for filtered lists: `Tokens.page` with a filter and an end, and `Tokens.nth`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from almond_server.domain.records import Record, Use
from almond_server.domain.selections import Listing, RecordFilter
from support.samples import DAY, EVERYTHING, NOW, OPERATOR, Ports, branch, record, whole

if TYPE_CHECKING:
    from almond_server.domain.stores import Position

WEEK = 7 * DAY


async def minted(ports: Ports, **changes: object) -> Record:
    return await ports.tokens.add(record(**changes), OPERATOR, None, NOW)


async def names(ports: Ports, listing: Listing = EVERYTHING, **filters: object) -> set[str]:
    """Return the names of all records that a filter lists."""
    filtered = replace(listing, filter=RecordFilter(**filters))  # type: ignore[arg-type]
    return {each.name for each in await ports.tokens.page(filtered, None, 99)}


async def walked(ports: Ports, listing: Listing, limit: int, reads: int) -> list[Record]:
    """Return what all pages list if each reads at most `reads` records."""
    seen: list[Record] = []
    after: Position | None = None
    while True:
        to = await ports.tokens.nth(listing, after, reads)
        page = await ports.tokens.page(listing, after, limit, to)
        seen += page
        after = page[-1].position if len(page) == limit else to
        if after is None:
            return seen


async def test_each_condition_lists_what_has_exactly_that_value(ports: Ports) -> None:
    await minted(ports, name="a", kind="deploy", subject="", minter_token_id="m")
    await minted(ports, name="A", kind="service", subject="service:gate", minter_token_id="n")
    await minted(ports, name="a%", kind="service", subject="service:gateway", minter_token_id="M")
    assert await names(ports, kind="service") == {"A", "a%"}
    assert await names(ports, name="a") == {"a"}
    assert await names(ports, name="a%") == {"a%"}
    assert await names(ports, subject="service:gate") == {"A"}
    assert await names(ports, minted_by="m") == {"a"}
    assert await names(ports, kind="service", name="a") == set()
    assert await names(ports) == {"a", "A", "a%"}


async def test_a_filter_keeps_to_the_org_the_app_and_what_is_live(ports: Ports) -> None:
    revoked = await minted(ports, name="revoked")
    await minted(ports, name="live")
    await minted(ports, name="expired", expires_at=NOW - 1)
    await minted(ports, name="api", app="api")
    await minted(ports, name="other", org="other")
    await ports.revocations.revoke([whole(revoked.token_id)], OPERATOR, "", None, NOW)
    assert await names(ports, kind="deploy") == {"revoked", "live", "expired", "api"}
    live = Listing("acme", "web", show_all=False, now=NOW)
    assert await names(ports, live, kind="deploy") == {"live"}
    assert await names(ports, live, name="revoked") == set()


async def test_what_ends_before_a_time_is_what_has_an_end(ports: Ports) -> None:
    await minted(ports, name="never", expires_at=None)
    await minted(ports, name="before", expires_at=NOW + DAY - 1)
    await minted(ports, name="at", expires_at=NOW + DAY)
    assert await names(ports, expires_before=NOW + DAY) == {"before"}
    assert await names(ports, expires_before=NOW + DAY + 1) == {"before", "at"}


async def test_a_derived_token_was_not_minted(ports: Ports) -> None:
    root = await minted(ports, name="root", minter_token_id="m")
    derived = record(token_id=root.token_id, lineage=(branch(1),), name="derived", minter_token_id="m")
    await ports.tokens.add_derived(derived, OPERATOR, NOW)
    assert await names(ports, minted_by="m") == {"root"}
    assert await names(ports, kind="deploy") == {"root", "derived"}


@pytest.mark.parametrize(
    ("created_ms", "used", "is_unused"),
    [
        ((NOW - 1) * 1000, None, True),
        (NOW * 1000 - 1, None, True),
        (NOW * 1000, None, False),
        ((NOW + 1) * 1000, None, False),
        ((NOW - DAY) * 1000, NOW - DAY, True),
        # A use is recorded at the beginning of its minute: it may have been up to a minute later.
        ((NOW - DAY) * 1000, NOW - 60, True),
        ((NOW - DAY) * 1000, NOW - 59, False),
        ((NOW - DAY) * 1000, NOW, False),
        ((NOW - DAY) * 1000, NOW + DAY, False),
    ],
)
async def test_a_token_is_unused_since_a_time_if_it_is_older_and_surely_was_not_used(
    ports: Ports, created_ms: int, used: int | None, is_unused: bool
) -> None:
    root = await minted(ports, name="one", created_at_ms=created_ms)
    if used is not None:
        await ports.tokens.record_last_used([Use(root.token_id, (), used)])
    assert await names(ports, unused_since=NOW) == ({"one"} if is_unused else set())
    kept = await ports.tokens.get(root.token_id)
    assert kept is not None
    assert kept.is_unused_since(NOW) is is_unused


async def test_the_use_of_a_derived_token_is_one_of_its_minted_token_and_not_the_other_way(
    ports: Ports,
) -> None:
    for name in ("by derived", "by itself"):
        root = await minted(ports, name=name, created_at_ms=(NOW - DAY) * 1000)
        derived = record(
            token_id=root.token_id,
            lineage=(branch(1),),
            name=f"{name}, derived",
            created_at_ms=root.created_at_ms,
        )
        await ports.tokens.add_derived(derived, OPERATOR, NOW)
        branches = (branch(1),) if name == "by derived" else ()
        await ports.tokens.record_last_used([Use(root.token_id, branches, NOW)])
    assert await names(ports, unused_since=NOW) == {"by itself, derived"}


@pytest.mark.parametrize("org", ["acme", "almond"])
async def test_pages_that_read_little_list_every_match_once_and_in_order(ports: Ports, org: str) -> None:
    # Tokens of several orgs are listed with those of the reserved org, in one order.
    orgs = ("almond", "") if org == "almond" else ("acme",)
    for number in range(30):
        kind = "ssh" if number % 7 == 0 else "deploy"
        await minted(ports, kind=kind, org=orgs[number % len(orgs)], created_at_ms=NOW * 1000 + number // 4)
    await minted(ports, kind="ssh", org="other")
    everything = replace(EVERYTHING, org=org)
    ssh = replace(everything, filter=RecordFilter(kind="ssh"))
    expected = [each for each in await ports.tokens.page(everything, None, 99) if each.kind == "ssh"]
    assert len(expected) == 5
    for limit, reads in ((1, 1), (2, 3), (3, 7), (99, 4), (2, 99)):
        assert await walked(ports, ssh, limit, reads) == expected, (limit, reads)


async def test_the_nth_record_counts_what_is_not_listed_too(ports: Ports) -> None:
    added = [await minted(ports, created_at_ms=each, expires_at=NOW - 1) for each in (3, 1, 2)]
    await minted(ports, created_at_ms=9, app="api")
    newest, _, middle = (added[0], added[1], added[2])
    nothing = Listing("acme", "web", show_all=False, now=NOW, filter=RecordFilter(name="no such"))
    assert await ports.tokens.nth(nothing, None, 1) == newest.position
    assert await ports.tokens.nth(nothing, None, 2) == middle.position
    assert await ports.tokens.nth(nothing, middle.position, 1) == added[1].position
    assert await ports.tokens.nth(nothing, None, 4) is None


async def test_a_page_with_an_end_lists_the_record_there_and_none_after(ports: Ports) -> None:
    one, two, three = [await minted(ports, created_at_ms=each) for each in (3, 2, 1)]
    assert await ports.tokens.page(EVERYTHING, None, 9, two.position) == [one, two]
    assert await ports.tokens.page(EVERYTHING, one.position, 9, two.position) == [two]
    assert await ports.tokens.page(EVERYTHING, two.position, 9, two.position) == []
    assert await ports.tokens.page(EVERYTHING, two.position, 9, None) == [three]


async def test_a_token_minted_between_two_pages_shifts_nothing(ports: Ports) -> None:
    old = [await minted(ports, created_at_ms=each, kind="ssh") for each in (1, 2, 3)]
    listing = replace(EVERYTHING, filter=RecordFilter(kind="ssh"))
    to = await ports.tokens.nth(listing, None, 2)
    first = await ports.tokens.page(listing, None, 9, to)
    await minted(ports, created_at_ms=4, kind="ssh")
    assert [*first, *await ports.tokens.page(listing, to, 9)] == old[::-1]
