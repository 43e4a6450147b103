"""Revoke by minter: all that a token or a branch of it minted, and all that those tokens minted."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import decision_pb2
from almond.v1 import token_service_pb2 as pb
from support.caveats import (
    actions,
    custom,
    narrowed,
    of_orgs,
    personal,
    record,
    registered,
    seconds,
    ssh,
    why,
)
from support.orders import deploy, org_wide, readonly, revoker
from support.refusals import refusal
from support.revoking import Family, by, expect_live, expect_revoked, next_second, subject, until_expired
from support.service import Almond, on

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
NOT_FOUND = grpc.StatusCode.NOT_FOUND


async def test_all_that_descends_from_a_minter_is_revoked_and_the_minter_is_not(
    shared: Almond,
) -> None:
    family = await Family.of(shared, "by-1")
    done = await shared.revoke(**by(family.minter), reason="ci was broken into")
    assert done.entries == 4
    assert done.revision
    assert not done.includes_caller
    await expect_revoked(shared, *family.minted)
    await expect_live(shared, family.minter, family.stranger)
    for each in family.minted:
        kept = await record(shared, each.record.id)
        assert kept.revoke_reason == "ci was broken into"
    again = await shared.revoke(**by(family.minter))
    assert again.entries == 0
    assert again.revision == done.revision


async def test_verify_at_the_returned_revision_denies_every_one(shared: Almond) -> None:
    family = await Family.of(shared, "by-2")
    revision = (await shared.revoke(**by(family.minter))).revision
    for each in family.minted:
        answer = await shared.verify(each.token, on("by-2"), min_revision=revision)
        assert [denial.reason for denial in answer.denials] == [decision_pb2.DENIAL_REASON_REVOKED]
        assert answer.revision == revision


async def test_tokens_derived_from_the_revoked_ones_are_revoked_too(shared: Almond) -> None:
    family = await Family.of(shared, "by-3")
    derived = await registered(shared, family.child.token)
    unrecorded = await narrowed(shared, derived.token)
    done = await shared.revoke(**by(family.minter))
    assert done.entries == 4
    await expect_revoked(shared, derived, unrecorded)


async def test_a_token_revoked_before_is_not_counted_but_what_it_minted_is(shared: Almond) -> None:
    family = await Family.of(shared, "by-4")
    await shared.revoke(token_id=family.child.record.id)
    await expect_live(shared, family.grandchild)
    done = await shared.revoke(**by(family.minter))
    assert done.entries == 3
    await expect_revoked(shared, *family.minted)


async def test_what_a_revoked_minter_minted_can_be_revoked(shared: Almond) -> None:
    family = await Family.of(shared, "by-5")
    await shared.revoke(token_id=family.minter.record.id)
    assert (await shared.revoke(**by(family.minter))).entries == 4
    await expect_revoked(shared, *family.minted)
    await expect_live(shared, family.stranger)


async def test_of_a_branch_only_what_it_and_its_descendants_minted_is_revoked(shared: Almond) -> None:
    made = await shared.mint(org_wide("branches"))
    branch, sister = [await narrowed(shared, made.token, actions("rwcd")) for _ in range(2)]
    deeper = await narrowed(shared, branch.token)
    of_made, of_branch, of_deeper, of_sister = [
        await shared.mint(org_wide("branches"), each.token) for each in (made, branch, deeper, sister)
    ]
    of_that = await shared.mint(deploy(org="branches"), of_branch.token)
    done = await shared.revoke(**by(made, branch_id=branch.branch_id))
    assert done.entries == 3
    await expect_revoked(shared, of_branch, of_deeper, of_that)
    await expect_live(shared, made, of_made, of_sister)
    for each in (branch, deeper, sister):
        assert await why(shared, each.token, on("branches")) == []
    assert (await shared.revoke(**by(made, branch_id=made.branch_id))).entries == 2
    await expect_revoked(shared, of_made, of_sister)


async def test_a_branch_that_minted_nothing_revokes_nothing(shared: Almond) -> None:
    family = await Family.of(shared, "by-6")
    unused = await narrowed(shared, family.minter.token)
    assert (await shared.revoke(**by(family.minter, branch_id=unused.branch_id))).entries == 0
    foreign = by(family.minter, branch_id=family.stranger.branch_id)
    assert (await shared.revoke(**foreign)).entries == 0
    await expect_live(shared, *family.minted)


async def test_what_was_minted_before_the_moment_is_revoked_with_all_that_it_minted(
    shared: Almond,
) -> None:
    made = await shared.mint(org_wide("before"))
    early = await shared.mint(org_wide("before"), made.token)
    moment = await next_second(early.record)
    late = await shared.mint(org_wide("before"), made.token)
    of_early = await shared.mint(deploy(org="before"), early.token)
    of_late = await shared.mint(deploy(org="before"), late.token)
    too_early = Timestamp(seconds=early.record.create_time.seconds)
    assert (await shared.revoke(**by(made, issued_before=too_early))).entries == 0
    assert (await shared.revoke(**by(made, issued_before=moment))).entries == 2
    await expect_revoked(shared, early, of_early)
    await expect_live(shared, late, of_late)


async def test_what_a_personal_token_and_its_children_minted_is_revoked(shared: Almond) -> None:
    login = await shared.mint(personal("finder", orgs=["found"]))
    holder = await shared.mint(org_wide("found"), login.token)
    child = await shared.mint(ssh(org="found"), holder.token)
    assert (await shared.revoke(**by(login))).entries == 2
    await expect_live(shared, login)
    await expect_revoked(shared, holder, child)


async def test_an_unknown_minter_is_not_found(shared: Almond) -> None:
    unknown = "AaMYW2WgcACAAAAAAAAAAQ"
    for is_dry_run in (False, True):
        target = pb.MintedByTarget(token_id=unknown)
        refused = await refusal(shared.revoke(minted_by=target, validate_only=is_dry_run))
        assert refused.code is NOT_FOUND
        assert refused.reason == "TOKEN_NOT_FOUND"


async def test_a_derived_minter_is_named_by_its_branch_and_not_by_its_id(shared: Almond) -> None:
    made = await shared.mint(org_wide("derived"))
    branch = await registered(shared, made.token, actions("rc"))
    child = await shared.mint(readonly("derived"), branch.token)
    refused = await refusal(shared.revoke(minted_by=pb.MintedByTarget(token_id=branch.record.id)))
    assert refused.code is INVALID_ARGUMENT
    assert (await shared.revoke(**by(made, branch_id=branch.branch_id))).entries == 1
    await expect_revoked(shared, child)
    await expect_live(shared, made, branch)


async def test_what_an_expired_session_minted_is_revoked(shared: Almond) -> None:
    short = personal("sleeper", orgs=["asleep"], ttl=seconds(3))
    sessions = [await shared.mint(short) for _ in range(2)]
    children = [await shared.mint(org_wide("asleep"), each.token) for each in sessions]
    grandchildren = [await shared.mint(deploy(org="asleep"), each.token) for each in children]
    for each in sessions:
        await until_expired(shared, each.token, on("asleep"))
    await expect_live(shared, *children, *grandchildren)
    shown = await shared.revoke(**by(sessions[0]), validate_only=True)
    assert {each.id for each in shown.records} == {children[0].record.id, grandchildren[0].record.id}
    assert (await shared.revoke(**by(sessions[0]))).entries == 2
    await expect_revoked(shared, children[0], grandchildren[0])
    await expect_live(shared, children[1], grandchildren[1])
    assert (await shared.revoke(**subject("user:sleeper"))).entries == 3
    await expect_revoked(shared, *children, *grandchildren)


async def test_expired_tokens_are_neither_counted_nor_shown(shared: Almond) -> None:
    made = await shared.mint(org_wide("expired"))
    brief = await shared.mint(deploy(org="expired", ttl=seconds(1)), made.token)
    lasting = await shared.mint(deploy(org="expired"), made.token)
    await until_expired(shared, brief.token, on("expired", app="shop"))
    shown = await shared.revoke(**by(made), validate_only=True)
    assert [each.id for each in shown.records] == [lasting.record.id]
    assert (await shared.revoke(**by(made))).entries == 1


async def test_a_caller_who_may_not_revoke_one_of_the_tokens_revokes_none(shared: Almond) -> None:
    login = await shared.mint(personal("dave", orgs=["p-1", "p-2"]))
    children = [await shared.mint(org_wide(each), login.token) for each in ("p-1", "p-2")]
    for order in (org_wide("p-1"), revoker("p-1"), org_wide("p-2"), org_wide("p-3")):
        caller = (await shared.mint(order)).token
        for target in (by(login), subject("user:dave")):
            for is_dry_run in (True, False):
                refused = await refusal(shared.revoke(caller, **target, validate_only=is_dry_run))
                assert refused.code is PERMISSION_DENIED
    await expect_live(shared, login, *children)
    both = (await shared.mint(custom(of_orgs(**{"p-1": "*", "p-2": "*"})))).token
    assert (await shared.revoke(both, **by(login))).entries == 2
    await expect_live(shared, login)
    await expect_revoked(shared, *children)


async def test_a_caller_needs_no_right_on_the_minter_itself(shared: Almond) -> None:
    login = await shared.mint(personal("erin", orgs=["p-4", "p-5"]))
    child = await shared.mint(org_wide("p-4"), login.token)
    caller = (await shared.mint(revoker("p-4"))).token
    assert (await shared.revoke(caller, **by(login))).entries == 1
    await expect_live(shared, login)
    await expect_revoked(shared, child)


async def test_only_a_caller_who_may_revoke_learns_that_there_is_nothing(shared: Almond) -> None:
    barren = await shared.mint(org_wide("p-6"))
    of_the_org, stranger = [(await shared.mint(revoker(each))).token for each in ("p-6", "p-7")]
    assert (await shared.revoke(of_the_org, **by(barren))).entries == 0
    for target in (by(barren), subject("user:not-there")):
        assert (await refusal(shared.revoke(stranger, **target))).code is PERMISSION_DENIED
