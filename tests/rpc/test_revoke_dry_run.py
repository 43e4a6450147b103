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
async def test_it_shows_exactly_what_would_be_revoked_newest_first(shared: Almond, target: str) -> None:
    name = f"dry-run-{target.replace('_', '-')}"
    login = await shared.mint(personal(name, orgs=[name]))
    made = [await shared.mint(deploy("web", name), login.token) for _ in range(3)]
    derived = await registered(shared, made[0].token)
    revoked = await shared.mint(deploy("web", name), login.token)
    await shared.revoke(token_id=revoked.record.id)
    targets = {
        "minted_by": by(login),
        "subject": subject(f"user:{name}"),
        "app": app("web", name),
        "org": org(name),
    }
    expected = [each.record.id for each in reversed(made)]
    if target in {"subject", "org"}:
        expected.append(login.record.id)
    before = await listed(shared, name, show_all=True)
    known = (await shared.verify(shared.admin, on("acme"))).revision
    shown = await shared.revoke(**targets[target], validate_only=True)
    assert shown.entries == len(expected)
    assert shown.revision == ""
    assert not shown.includes_caller
    assert [each.id for each in shown.records] == expected
    assert all(each in before for each in shown.records)
    assert await listed(shared, name, show_all=True) == before
    assert (await shared.verify(shared.admin, on("acme"))).revision == known
    await expect_live(shared, login, *made, derived)
    done = await shared.revoke(**targets[target])
    assert done.entries == (1 if target == "org" else shown.entries)
    assert list(done.records) == []


async def test_it_shows_at_most_100_records_and_counts_all(
    shared: Almond,
) -> None:
    made = [await shared.mint(deploy("web", "crowd")) for _ in range(103)]
    shown = await shared.revoke(**org("crowd"), validate_only=True)
    assert shown.entries == 103
    assert [each.id for each in shown.records] == [each.record.id for each in reversed(made)][:100]
    assert (await shared.revoke(**org("crowd"))).entries == 1
    assert await listed(shared, "crowd") == []


async def test_it_leaves_the_request_id_free(shared: Almond) -> None:
    await shared.mint(deploy("web", "dry-run-id"))
    order = {**org("dry-run-id"), "request_id": "bulk-dry-run"}
    assert (await shared.revoke(**order, validate_only=True)).entries == 1
    assert (await shared.revoke(**order)).entries == 1


async def test_it_says_as_the_call_does_whether_the_caller_is_revoked(shared: Almond) -> None:
    holder = await shared.mint(org_wide("self"))
    for is_dry_run in (True, False):
        answer = await shared.revoke(holder.token, **org("self"), validate_only=is_dry_run)
        assert answer.entries == 1, is_dry_run
        assert answer.includes_caller, is_dry_run
    await expect_revoked(shared, holder)
    refused = await refusal(shared.revoke(holder.token, **org("self")))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_the_token_that_a_caller_derives_from_counts_as_the_caller(shared: Almond) -> None:
    holder = await shared.mint(org_wide("self-3"))
    caller = (await narrowed(shared, holder.token)).token
    for is_dry_run in (True, False):
        assert (await shared.revoke(caller, **org("self-3"), validate_only=is_dry_run)).includes_caller, (
            is_dry_run
        )


async def test_a_token_that_the_caller_minted_does_not_count_as_the_caller(shared: Almond) -> None:
    holder = await shared.mint(org_wide("self-4"))
    await shared.mint(deploy(org="self-4"), holder.token)
    for is_dry_run in (True, False):
        answer = await shared.revoke(holder.token, **by(holder), validate_only=is_dry_run)
        assert answer.entries == 1
        assert not answer.includes_caller
    await expect_live(shared, holder)


async def test_a_caller_that_descends_from_the_minter_is_counted(shared: Almond) -> None:
    parent = await shared.mint(org_wide("self-5"))
    caller = await shared.mint(org_wide("self-5"), parent.token)
    for is_dry_run in (True, False):
        answer = await shared.revoke(caller.token, **by(parent), validate_only=is_dry_run)
        assert answer.entries == 1
        assert answer.includes_caller


@pytest.mark.parametrize("how", ["token_id", "branch", "token"])
@pytest.mark.parametrize("is_dry_run", [True, False])
async def test_a_caller_that_revokes_its_own_token_is_counted(
    shared: Almond, how: str, is_dry_run: bool
) -> None:
    made = await shared.mint(org_wide("self-6"))
    targets: dict[str, dict[str, Any]] = {
        "token_id": {"token_id": made.record.id},
        "branch": {"branch": pb.BranchTarget(token_id=made.record.id, branch_id=made.branch_id)},
        "token": {"token": made.token},
    }
    answer = await shared.revoke(made.token, **targets[how], validate_only=is_dry_run)
    assert answer.entries == 1
    assert answer.includes_caller
    other = await shared.mint(org_wide("self-6"))
    answer = await shared.revoke(other.token, **targets[how], validate_only=True)
    assert not answer.includes_caller


@pytest.mark.parametrize("how", ["token_id", "token"])
async def test_it_changes_nothing_for_a_single_token(shared: Almond, how: str) -> None:
    made = await shared.mint(org_wide("one"))
    target = {"token_id": made.record.id} if how == "token_id" else {"token": made.token}
    known = (await shared.verify(shared.admin, on("acme"))).revision
    answer = await shared.revoke(**target, validate_only=True)
    assert answer.entries == 1
    assert answer.revision == ""
    assert [each.id for each in answer.records] == ([made.record.id] if how == "token_id" else [])
    assert (await shared.verify(shared.admin, on("acme"))).revision == known
    await expect_live(shared, made)
    assert (await shared.revoke(**target)).entries == 1
    assert (await shared.revoke(**target, validate_only=True)).entries == 0
