"""Revoke with `validate_only`: the answer says what a call would revoke, and nothing changes."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from almond.v1 import token_service_pb2 as pb
from support.caveats import listed, narrowed, personal, registered
from support.orders import deploy, org_wide
from support.refusals import refusal
from support.revoking import app, by, expect_live, expect_revoked, org, subject
from support.service import Almond, on

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("target", ["minted_by", "subject", "app", "org"])
async def test_only_asking_shows_exactly_what_would_go_newest_first_and_changes_nothing(
    shared: Almond, target: str
) -> None:
    place = f"asked-{target.replace('_', '-')}"
    login = await shared.mint(personal(place, orgs=[place]))
    made = [await shared.mint(deploy("web", place), login.token) for _ in range(3)]
    derived = await registered(shared, made[0].token)
    revoked = await shared.mint(deploy("web", place), login.token)
    await shared.revoke(token_id=revoked.record.id)
    targets = {
        "minted_by": by(login),
        "subject": subject(f"user:{place}"),
        "app": app("web", place),
        "org": org(place),
    }
    expected = [each.record.id for each in reversed(made)]
    if target in {"subject", "org"}:
        expected.append(login.record.id)
    before = await listed(shared, place, show_all=True)
    known = (await shared.verify(shared.admin, on("acme"))).revision
    asked = await shared.revoke(**targets[target], validate_only=True)
    assert asked.entries == len(expected)
    assert asked.revision == ""
    assert not asked.includes_caller
    assert [each.id for each in asked.records] == expected
    assert all(each in before for each in asked.records)
    assert await listed(shared, place, show_all=True) == before
    assert (await shared.verify(shared.admin, on("acme"))).revision == known
    await expect_live(shared, login, *made, derived)
    done = await shared.revoke(**targets[target])
    assert done.entries == (1 if target == "org" else asked.entries)
    assert list(done.records) == []


async def test_at_most_a_hundred_records_are_shown_and_all_are_counted_and_revoked(
    shared: Almond,
) -> None:
    made = [await shared.mint(deploy("web", "crowd")) for _ in range(103)]
    asked = await shared.revoke(**org("crowd"), validate_only=True)
    assert asked.entries == 103
    assert [each.id for each in asked.records] == [each.record.id for each in reversed(made)][:100]
    assert (await shared.revoke(**org("crowd"))).entries == 1
    assert await listed(shared, "crowd") == []


async def test_only_asking_leaves_the_request_id_free(shared: Almond) -> None:
    await shared.mint(deploy("web", "asking-id"))
    order = {**org("asking-id"), "request_id": "wide-asking"}
    assert (await shared.revoke(**order, validate_only=True)).entries == 1
    assert (await shared.revoke(**order)).entries == 1


async def test_whether_the_caller_is_among_them_is_said_before_and_after(shared: Almond) -> None:
    holder = await shared.mint(org_wide("self"))
    for only_asked in (True, False):
        told = await shared.revoke(holder.token, **org("self"), validate_only=only_asked)
        assert told.entries == 1, only_asked
        assert told.includes_caller, only_asked
    await expect_revoked(shared, holder)
    refused = await refusal(shared.revoke(holder.token, **org("self")))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_narrowed_callers_own_token_counts_as_the_caller(shared: Almond) -> None:
    holder = await shared.mint(org_wide("self-3"))
    caller = (await narrowed(shared, holder.token)).token
    for only_asked in (True, False):
        assert (await shared.revoke(caller, **org("self-3"), validate_only=only_asked)).includes_caller, (
            only_asked
        )


async def test_what_a_caller_minted_is_not_the_caller(shared: Almond) -> None:
    holder = await shared.mint(org_wide("self-4"))
    await shared.mint(deploy(org="self-4"), holder.token)
    for only_asked in (True, False):
        told = await shared.revoke(holder.token, **by(holder), validate_only=only_asked)
        assert told.entries == 1
        assert not told.includes_caller
    await expect_live(shared, holder)


async def test_a_caller_that_the_recursion_reaches_is_among_them(shared: Almond) -> None:
    parent = await shared.mint(org_wide("self-5"))
    caller = await shared.mint(org_wide("self-5"), parent.token)
    for only_asked in (True, False):
        told = await shared.revoke(caller.token, **by(parent), validate_only=only_asked)
        assert told.entries == 1
        assert told.includes_caller


@pytest.mark.parametrize("how", ["token_id", "branch", "token"])
@pytest.mark.parametrize("only_asked", [True, False])
async def test_a_caller_that_revokes_its_own_token_is_told_so(
    shared: Almond, how: str, only_asked: bool
) -> None:
    made = await shared.mint(org_wide("self-6"))
    targets: dict[str, dict[str, Any]] = {
        "token_id": {"token_id": made.record.id},
        "branch": {"branch": pb.BranchTarget(token_id=made.record.id, branch_id=made.branch_id)},
        "token": {"token": made.token},
    }
    told = await shared.revoke(made.token, **targets[how], validate_only=only_asked)
    assert told.entries == 1
    assert told.includes_caller
    other = await shared.mint(org_wide("self-6"))
    told = await shared.revoke(other.token, **targets[how], validate_only=True)
    assert not told.includes_caller


@pytest.mark.parametrize("how", ["token_id", "token"])
async def test_only_asking_about_one_token_changes_nothing_either(shared: Almond, how: str) -> None:
    made = await shared.mint(org_wide("one"))
    target = {"token_id": made.record.id} if how == "token_id" else {"token": made.token}
    known = (await shared.verify(shared.admin, on("acme"))).revision
    told = await shared.revoke(**target, validate_only=True)
    assert told.entries == 1
    assert told.revision == ""
    assert [each.id for each in told.records] == ([made.record.id] if how == "token_id" else [])
    assert (await shared.verify(shared.admin, on("acme"))).revision == known
    await expect_live(shared, made)
    assert (await shared.revoke(**target)).entries == 1
    assert (await shared.revoke(**target, validate_only=True)).entries == 0
