"""What every store owes about minting: `minters`, `count_minted`, pages of `mine`, and `WithMinted`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from almond_server.adapters.sql import minters as sql_minters
from almond_server.domain import stores
from almond_server.domain.minters import MAX_MINTERS, Minter
from almond_server.domain.records import Record
from almond_server.domain.selections import Listing, MintedBy, Selection, WithMinted
from almond_server.domain.stores import Idempotency
from almond_server.errors import MinterRevokedError, SelectionChangedError
from support.samples import EVERYTHING, NOW, OPERATOR, Ports, branch, holder, record, token_id, whole
from support.selections import ids, minted, minted_by, revoked, selected

HERE = frozenset({("acme", "web")})
REQUEST = Idempotency(b"revoke\x00caller\x00one", b"content")


def lineage(*numbers: int) -> tuple[bytes, ...]:
    return tuple(branch(each) for each in numbers)


async def page(ports: Ports, mine: Minter, **more: object) -> list[str]:
    """Return the ids of all pages of what a token minted, of any org, in pages of two."""
    chosen: dict[str, object] = {"org": "", "app": None, "show_all": False, "now": NOW, "mine": mine}
    listing = Listing(**chosen | more)  # type: ignore[arg-type]
    found: list[Record] = []
    while True:
        after = (found[-1].created_at_ms, found[-1].id) if found else None
        records = await ports.tokens.page(listing, after, 2)
        found += records
        if len(records) < 2:
            return [each.id for each in found]


# Up: the minters of a token.


async def test_the_minters_of_a_token_are_those_above_it_the_nearest_first(ports: Ports) -> None:
    top = await minted_by(ports, "gone", 9)
    middle = await minted_by(ports, top, 1, 2)
    low = await minted_by(ports, middle, 3)
    assert list(await ports.tokens.minters(low.token_id)) == [
        Minter(middle.token_id, lineage(3)),
        Minter(top.token_id, lineage(1, 2)),
        Minter("gone", lineage(9)),
    ]
    assert list(await ports.tokens.minters("gone")) == []


async def test_who_registered_a_derived_token_is_not_its_minter(ports: Ports) -> None:
    top = await minted_by(ports, "top", 1)
    added = record(token_id=top.token_id, lineage=(branch(5),), minter_token_id="registrar")
    derived = await ports.tokens.add_derived(added, OPERATOR, NOW)
    assert list(await ports.tokens.minters(top.token_id)) == [Minter("top", lineage(1))]
    below = await minted_by(ports, derived.token_id, 5)
    assert [each.token_id for each in await ports.tokens.minters(below.token_id)] == [top.token_id, "top"]


async def test_no_more_minters_than_the_maximum_are_looked_at(ports: Ports) -> None:
    made = [await minted_by(ports, "top", 1)]
    for _ in range(MAX_MINTERS + 2):
        made.append(await minted_by(ports, made[-1], 1))
    found = await ports.tokens.minters(made[-1].token_id)
    assert [each.token_id for each in found] == [each.token_id for each in made[-2 : -MAX_MINTERS - 2 : -1]]


async def test_minters_in_a_circle_end(ports: Ports) -> None:
    names = [token_id(), token_id()]
    for name, minter in zip(names, reversed(names), strict=True):
        await minted(ports, token_id=name, minter_token_id=minter)
    assert len(await ports.tokens.minters(names[0])) == MAX_MINTERS
    assert set(await page(ports, Minter(names[0], lineage(1, 2)))) == set(names)


# Down: pages of what a token minted.


async def test_a_page_of_mine_is_what_the_token_and_its_own_minted_newest_first(ports: Ports) -> None:
    mine = Minter("me", lineage(1))
    child = await minted_by(ports, "me", 1, created_at_ms=1, org="other", app="")
    below = await minted_by(ports, child, 7, created_at_ms=9)
    narrowed = await minted_by(ports, "me", 1, 2, created_at_ms=5)
    await minted_by(ports, "me", 3, created_at_ms=6)
    await minted_by(ports, "another", 1, created_at_ms=7)
    assert await page(ports, mine) == [below.id, narrowed.id, child.id]
    assert await page(ports, mine, org="other") == [child.id]
    assert await page(ports, mine, org="acme", app="web") == [below.id, narrowed.id]
    assert await page(ports, Minter("me", lineage(1, 2))) == [narrowed.id]
    assert await page(ports, Minter("me", lineage(2))) == []
    assert await page(ports, Minter(child.token_id, lineage(7))) == [below.id]


async def test_derived_tokens_are_mine_if_their_minted_token_is(ports: Ports) -> None:
    mine, other = await minted_by(ports, "me", 1), await minted_by(ports, "another", 1)
    for each in (mine, other):
        for registrar in ("me", "another"):
            added = record(
                token_id=each.token_id,
                lineage=(branch(5 + len(registrar)),),
                minter_token_id=registrar,
                minter_branch_ids=lineage(1),
            )
            await ports.tokens.add_derived(added, OPERATOR, NOW)
    found = await page(ports, Minter("me", lineage(1)))
    assert len(found) == 3
    assert {each.partition("/")[0] for each in found} == {mine.token_id}


async def test_the_dead_are_hidden_and_what_they_minted_is_not(ports: Ports) -> None:
    expired = await minted_by(ports, "me", 1, expires_at=NOW)
    gone = await minted_by(ports, expired, 1)
    living = await minted_by(ports, gone, 1)
    await ports.revocations.revoke([whole(gone.token_id)], OPERATOR, "", None, NOW)
    assert await page(ports, Minter("me", lineage(1))) == [living.id]
    everything = await page(ports, Minter("me", lineage(1)), show_all=True)
    assert set(everything) == ids(expired, gone, living)


def test_a_minter_without_a_lineage_is_refused_by_the_query() -> None:
    with create_engine("sqlite://").connect() as connection, pytest.raises(ValueError, match="lineage"):
        sql_minters.below(connection, Minter("me", ()))


_FOREST = st.lists(
    st.tuples(st.integers(0, 5), st.lists(st.integers(1, 3), min_size=1, max_size=3)), min_size=1, max_size=8
)


@given(_FOREST)
def test_both_ways_agree_in_any_forest(forest: list[tuple[int, list[int]]]) -> None:
    """What is found downwards in a page is exactly what is mine by the minters found upwards.

    Here in memory; `test_a_forest_in_every_store` compares the stores.
    """
    names = [f"t{number}" for number in range(len(forest) + 1)]
    above: dict[str, Minter] = {}
    for number, (parent, branches) in enumerate(forest, start=1):
        above[names[number]] = Minter(names[min(parent, number - 1)], lineage(*branches))

    def chain(name: str) -> list[Minter]:
        found = []
        while name in above:
            found.append(above[name])
            name = above[name].token_id
        return found

    for me, own in itertools.product(names, ([1], [2], [1, 2], [1, 2, 3])):
        mine = Minter(me, lineage(*own))
        direct = {each for each in above if mine.minted([above[each]])}
        reached = set(direct)
        while True:
            more = {each for each in above if above[each].token_id in reached} - reached
            if not more:
                break
            reached |= more
        assert {each for each in above if mine.minted(chain(each))} == reached


async def test_a_forest_in_every_store(ports: Ports) -> None:
    made = [await minted_by(ports, "me", *own) for own in ((1,), (1, 2), (1, 2, 3), (2,), (2, 1))]
    made += [await minted_by(ports, each, *own) for each in list(made) for own in ((1,), (1, 2))]
    made += [await minted_by(ports, made[each], 4) for each in (5, 8, 11, 14)]
    callers = ["me", *(each.token_id for each in made[:8])]
    for me, own in itertools.product(callers, ((1,), (2,), (1, 2), (2, 1), (1, 2, 3), (3,), (4,))):
        mine = Minter(me, lineage(*own))
        expected = {each.id for each in made if mine.minted(await ports.tokens.minters(each.token_id))}
        assert set(await page(ports, mine)) == expected, (me, own)


# The count of what a token minted itself.


async def test_what_a_token_minted_itself_is_counted_by_org_and_app(ports: Ports) -> None:
    child = await minted_by(ports, "top", 1)
    await minted_by(ports, "top", 1, 2)
    await minted_by(ports, "top", 1, org="other", app="")
    await minted_by(ports, child, 1)
    await minted_by(ports, "another", 1)
    await minted_by(ports, "top", 1, expires_at=NOW)
    gone = await minted_by(ports, "top", 1)
    await ports.revocations.revoke([whole(gone.token_id)], OPERATOR, "", None, NOW)
    added = record(token_id=child.token_id, lineage=(branch(5),), minter_token_id="top")
    await ports.tokens.add_derived(added, OPERATOR, NOW)
    assert await ports.tokens.count_minted(MintedBy("top"), NOW) == {("acme", "web"): 2, ("other", ""): 1}
    assert await ports.tokens.count_minted(MintedBy("top", branch(2)), NOW) == {("acme", "web"): 1}
    assert await ports.tokens.count_minted(MintedBy("nobody"), NOW) == {}


async def test_a_count_ends_where_too_much_was_minted(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (stores, sql_minters):
        monkeypatch.setattr(module, "MAX_EXAMINED", 3)
    made = [await minted_by(ports, "top", 1, expires_at=NOW) for _ in range(3)]
    assert await ports.tokens.count_minted(MintedBy("top"), NOW) == {}
    await minted_by(ports, "top", 1)
    assert await ports.tokens.count_minted(MintedBy("top"), NOW) is None
    assert await ports.tokens.count_minted(MintedBy(made[0].token_id), NOW) == {}


# A token with all that it minted.


async def test_a_token_with_what_it_minted_is_selected_to_any_depth(ports: Ports) -> None:
    top = await minted(ports)
    child = await minted_by(ports, top, 1)
    gone = await minted_by(ports, child, org="other")
    below = await minted_by(ports, gone)
    await minted(ports)
    await ports.revocations.revoke([whole(gone.token_id)], OPERATOR, "", None, NOW)
    assert await selected(ports, WithMinted(top.token_id)) == ids(top, child, below)
    places = await ports.tokens.orgs_and_apps(Selection(WithMinted(gone.token_id)), NOW)
    assert places == {(below.org, below.app)}


async def test_the_token_itself_is_in_the_first_part(ports: Ports) -> None:
    top = await minted(ports, created_at_ms=1)
    made = [await minted_by(ports, top, created_at_ms=NOW) for _ in range(7)]
    ports.revocations.max_entries = 3
    done = await revoked(ports, Selection(WithMinted(top.token_id)), request=REQUEST)
    changes = await ports.revocations.changes_after(0, 9)
    assert top.token_id in {each.token_id for each in changes[0].revocations}
    assert {each.token_id for change in changes for each in change.revocations} == ids(top, *made)
    assert [len(each.revocations) for each in changes] == [3, 3, 2]
    assert (done.entries, done.number) == (8, 3)
    assert await revoked(ports, Selection(WithMinted(top.token_id)), request=REQUEST) == done


async def test_nothing_that_the_token_or_its_own_mint_meanwhile_survives(ports: Ports) -> None:
    top = await minted(ports)
    child = await minted_by(ports, top, 1)
    ports.revocations.max_entries = 2

    async def mint(turns: int, minter: Record) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        new = record(minter_token_id=minter.token_id, app=f"app-{turns}")
        with contextlib.suppress(MinterRevokedError):
            await ports.tokens.add(new, holder(minter.token_id, 1), None, NOW)

    async def revoke() -> None:
        await asyncio.sleep(0.005)
        await revoked(ports, Selection(WithMinted(top.token_id)), within=frozenset({("acme", "*")}))

    minting = (mint(each % 20, minter) for each in range(50) for minter in (top, child))
    await asyncio.gather(revoke(), *minting)
    listed = await ports.tokens.page(EVERYTHING, None, 999)
    assert [each.id for each in listed if each.revoked_at is None] == []


async def test_an_interrupted_revocation_goes_on_where_it_stopped(ports: Ports) -> None:
    top = await minted(ports)
    made = [await minted_by(ports, top) for _ in range(3)]
    below = [await minted_by(ports, each) for each in made]
    await ports.revocations.revoke([whole(top.token_id), whole(made[0].token_id)], OPERATOR, "", None, NOW)
    done = await revoked(ports, Selection(WithMinted(top.token_id)))
    assert done.entries == 5
    assert await selected(ports, WithMinted(top.token_id)) == set()
    assert [(await ports.tokens.get(each.id)) == each for each in below] == [False] * 3


@pytest.mark.parametrize(
    ("within", "is_enough"),
    [
        ({("acme", "*")}, True),
        ({("acme", "*"), ("other", "")}, True),
        ({("other", "*")}, False),
        ({("*", "*")}, False),
        ({("acme", "web")}, False),
    ],
)
async def test_a_bound_may_be_any_app_of_an_org(
    ports: Ports, within: set[tuple[str, str]], is_enough: bool
) -> None:
    top = await minted(ports)
    await minted_by(ports, top, app="api")
    if not is_enough:
        with pytest.raises(SelectionChangedError):
            await revoked(ports, Selection(WithMinted(top.token_id)), within=frozenset(within))
        assert await selected(ports, WithMinted(top.token_id)) != set()
        return
    done = await revoked(ports, Selection(WithMinted(top.token_id)), within=frozenset(within))
    assert done.entries == 2
