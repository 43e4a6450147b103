"""What every store owes for selections: `Tokens.select`."""

from __future__ import annotations

import asyncio

import pytest

from almond_server.domain.selections import MintedBy, OfApp, OfOrg, OfSubject
from support.samples import NOW, OPERATOR, Ports, branch, part, record, token_id, whole
from support.selections import OF_ANN, OF_TOP, Of, ids, minted, minted_by, revoked, selected


async def test_an_org_is_the_tokens_whose_home_it_is(ports: Ports) -> None:
    web, api = await minted(ports), await minted(ports, app="api")
    await minted(ports, org="acme2")
    await minted(ports, org="ACME")
    await minted(ports, org="", app="")
    assert await selected(ports, OfOrg("acme")) == ids(web, api)
    assert await selected(ports, OfOrg("nobody")) == set()


async def test_an_app_is_the_tokens_that_name_it_in_its_org(ports: Ports) -> None:
    web = await minted(ports)
    await minted(ports, app="api")
    await minted(ports, app="")
    await minted(ports, org="other")
    assert await selected(ports, OfApp("acme", "web")) == ids(web)


async def test_a_subject_is_the_tokens_that_speak_for_it_in_any_org(ports: Ports) -> None:
    anns = [await minted(ports, subject="ann"), await minted(ports, subject="ann", org="other")]
    await minted(ports, subject="anna")
    await minted(ports, subject="Ann")
    await minted(ports)
    assert await selected(ports, OfSubject("ann")) == ids(*anns)


async def test_a_minter_is_what_it_minted_and_not_itself(ports: Ports) -> None:
    minter = await minted(ports)
    made = [await minted_by(ports, minter), await minted_by(ports, minter, 1, 2)]
    await minted_by(ports, "another")
    assert await selected(ports, MintedBy(minter.token_id)) == ids(*made)


async def test_a_minter_needs_no_record_of_its_own(ports: Ports) -> None:
    made = await minted_by(ports, "gone")
    assert await selected(ports, MintedBy("gone")) == ids(made)


async def test_a_minters_branch_is_what_it_and_its_descendants_minted(ports: Ports) -> None:
    minter = await minted(ports)
    made = [await minted_by(ports, minter, 1, 2), await minted_by(ports, minter, 1, 2, 3)]
    await minted_by(ports, minter)  # by the token as it was minted
    await minted_by(ports, minter, 1)  # by the branch above
    await minted_by(ports, minter, 1, 4)  # by a sibling
    await minted_by(ports, "another", 1, 2)
    assert await selected(ports, MintedBy(minter.token_id, branch(2))) == ids(*made)


async def test_only_whole_branch_ids_of_the_minter_are_compared(ports: Ports) -> None:
    await minted_by(ports, "minter", 1, 2)
    across = branch(1)[8:] + branch(2)[:8]
    assert await selected(ports, MintedBy("minter", across)) == set()


@pytest.mark.parametrize("of", [OfSubject("ann"), MintedBy("top"), MintedBy("top", branch(1))])
async def test_what_the_selected_minted_is_selected_to_any_depth(ports: Ports, of: Of) -> None:
    chain = [await minted_by(ports, "top", 1, subject="ann")]
    for each in range(5):  # whatever branch of it minted, and for whomever
        chain.append(await minted_by(ports, chain[-1], *range(7, 7 + each), subject="bob", org=f"org{each}"))
    twin = await minted_by(ports, chain[2])
    await minted_by(ports, "another")
    assert await selected(ports, of) == ids(*chain, twin)


@pytest.mark.parametrize("of", [OfOrg("acme"), OfApp("acme", "web")])
async def test_what_an_orgs_or_apps_tokens_minted_elsewhere_is_not_selected(ports: Ports, of: Of) -> None:
    here = await minted(ports)
    await minted_by(ports, here, org="other")
    assert await selected(ports, of) == ids(here)


async def test_expired_and_revoked_minters_are_followed_but_not_selected(ports: Ports) -> None:
    expired = await minted(ports, subject="ann", expires_at=NOW)
    gone = await minted_by(ports, expired)
    living = await minted_by(ports, gone)
    below = await minted_by(ports, living)
    await ports.revocations.revoke([whole(gone.token_id)], OPERATOR, "", None, NOW)
    assert await selected(ports, OfSubject("ann")) == ids(living, below)
    assert await selected(ports, MintedBy(expired.token_id)) == ids(living, below)


async def test_only_the_living_are_selected(ports: Ports) -> None:
    living = [
        await minted(ports),
        await minted(ports, expires_at=None),
        await minted(ports, expires_at=NOW + 1),
    ]
    await minted(ports, expires_at=NOW)  # at its end it is over
    gone = await minted(ports)
    await ports.revocations.revoke([whole(gone.token_id)], OPERATOR, "", None, NOW)
    assert await selected(ports, OfOrg("acme")) == ids(*living)


async def test_a_token_is_still_selected_when_only_a_branch_of_it_is_revoked(ports: Ports) -> None:
    minter = await minted(ports)
    await ports.revocations.revoke([part(minter.token_id, 1)], OPERATOR, "", None, NOW)
    assert await selected(ports, OfOrg("acme")) == ids(minter)


@pytest.mark.parametrize("of", [OfOrg("acme"), OfApp("acme", "web"), OfSubject("ann"), MintedBy("top")])
async def test_what_was_issued_at_the_bound_or_later_is_not_selected(ports: Ports, of: Of) -> None:
    made = [await minted_by(ports, "top", subject="ann", created_at_ms=each) for each in (8, 9, 10, 11)]
    assert await selected(ports, of, 10) == ids(*made[:2])
    assert await selected(ports, of) == ids(*made)


async def test_the_bound_is_about_the_first_level_only(ports: Ports) -> None:
    old = await minted_by(ports, "top", 1, subject="ann", created_at_ms=1)
    late = await minted_by(ports, old, created_at_ms=100)
    later = await minted_by(ports, late, created_at_ms=200)
    young = await minted_by(ports, "top", 1, subject="ann", created_at_ms=100)
    await minted_by(ports, young, created_at_ms=101)
    for of in (OfSubject("ann"), MintedBy("top"), MintedBy("top", branch(1))):
        assert await selected(ports, of, 10) == ids(old, late, later)


async def test_what_is_too_young_for_the_first_level_is_selected_if_a_selected_one_minted_it(
    ports: Ports,
) -> None:
    old = await minted(ports, subject="ann", created_at_ms=1)
    late = await minted_by(ports, old, subject="ann", created_at_ms=100)
    assert await selected(ports, OfSubject("ann"), 10) == ids(old, late)


async def test_derived_records_are_never_selected(ports: Ports) -> None:
    root = await minted(ports, subject="ann", minter_token_id="top", minter_branch_ids=(branch(1),))
    added = record(
        token_id=root.token_id,
        subject="ann",
        lineage=(branch(5),),
        minter_token_id="top",
        minter_branch_ids=(branch(1),),
    )
    await ports.tokens.add_derived(added, OPERATOR, NOW)
    for of in (
        OfOrg("acme"),
        OfApp("acme", "web"),
        OfSubject("ann"),
        MintedBy("top"),
        MintedBy("top", branch(1)),
    ):
        assert await selected(ports, of) == {root.id}


async def test_what_was_registered_by_the_selected_does_not_lead_to_more(ports: Ports) -> None:
    ann, other = await minted(ports, subject="ann"), await minted(ports)
    by_ann = record(token_id=other.token_id, lineage=(branch(5),), minter_token_id=ann.token_id)
    await ports.tokens.add_derived(by_ann, OPERATOR, NOW)
    await minted_by(ports, other, 5)
    assert await selected(ports, OfSubject("ann")) == ids(ann)


async def test_minters_that_go_in_a_circle_end_nevertheless(ports: Ports) -> None:
    names = [token_id(), token_id()]
    for name, minter in zip(names, reversed(names), strict=True):
        await minted(ports, token_id=name, minter_token_id=minter)
    assert await selected(ports, MintedBy(names[0])) == set(names)


async def test_the_newest_come_first(ports: Ports) -> None:
    top = await minted(ports, subject="ann", created_at_ms=5)
    added = [top] + [await minted_by(ports, top, created_at_ms=each) for each in (3, 9, 5, 1, 9)]
    found = await ports.tokens.select(OF_ANN, NOW)
    assert list(found) == sorted(added, key=lambda each: (each.created_at_ms, each.id), reverse=True)


async def test_a_selection_of_many_hundreds_is_whole(ports: Ports) -> None:
    minters = [record(minter_token_id="top", created_at_ms=each) for each in range(510)]
    await asyncio.gather(*(ports.tokens.add(each, OPERATOR, None, NOW) for each in minters))
    below = [await minted_by(ports, minters[each], created_at_ms=1000 + each) for each in (0, 499, 500, 509)]
    expected = [each.id for each in below[::-1] + minters[::-1]]
    assert [each.id for each in await ports.tokens.select(OF_TOP, NOW)] == expected
    assert [each.id for each in await ports.tokens.select(OF_TOP, NOW, 3)] == expected[:3]
    done = await revoked(ports)
    assert (done.entries, done.number) == (514, 1)
    (change,) = await ports.revocations.changes_after(0, 9)
    assert {each.token_id for each in change.revocations} == set(expected)
