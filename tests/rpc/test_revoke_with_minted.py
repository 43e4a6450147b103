"""Revoke says how many tokens the revoked one minted, which stay; with `with_minted` it revokes them too."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from almond.v1 import token_service_pb2 as pb
from almond_server.adapters.sql import minters
from almond_server.tokens import minted_left
from support.caveats import custom, ids, listed, narrowed, of_org, of_orgs, record, registered, seconds
from support.orders import deploy, minter, org_wide, revoker
from support.refusals import refusal
from support.revoking import Family, app, by, expect_live, expect_revoked, org, subject, until_expired
from support.service import Almond, bearer, on
from support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def target_of(made: pb.MintResponse, how: str) -> dict[str, Any]:
    """Return a target that names a minted token in one of the three ways."""
    branch = pb.BranchTarget(token_id=made.record.id, branch_id=made.branch_id)
    targets: dict[str, dict[str, Any]] = {
        "token_id": {"token_id": made.record.id},
        "branch": {"branch": branch},
        "token": {"token": made.token},
    }
    return targets[how]


HOW = pytest.mark.parametrize("how", ["token_id", "branch", "token"])


# What stays.


@HOW
async def test_dry_run_and_result_say_how_many_tokens_it_minted_itself(shared: Almond, how: str) -> None:
    family = await Family.of(shared, f"left-{how.replace('_', '-')}")
    target = target_of(family.minter, how)
    for is_dry_run in (True, False):
        answer = await shared.revoke(**target, validate_only=is_dry_run)
        assert (answer.HasField("minted_left"), answer.minted_left) == (True, 2), is_dry_run
    again = await shared.revoke(**target)
    assert (again.entries, again.minted_left) == (0, 2)
    await expect_live(shared, *family.minted)
    await shared.revoke(token_id=family.child.record.id)
    assert (await shared.revoke(**target)).minted_left == 1
    assert (await shared.revoke(**target_of(family.stranger, how))).minted_left == 0


async def test_the_dead_the_derived_and_what_those_minted_are_not_counted(shared: Almond) -> None:
    made = await shared.mint(org_wide("uncounted"))
    lasting = await shared.mint(org_wide("uncounted"), made.token)
    await shared.mint(deploy(org="uncounted"), lasting.token)
    await registered(shared, made.token, caller=made.token)
    await registered(shared, lasting.token, caller=made.token)
    brief = await shared.mint(deploy(org="uncounted", ttl=seconds(1)), made.token)
    revoked = await shared.mint(org_wide("uncounted"), made.token)
    await shared.revoke(token_id=revoked.record.id)
    await until_expired(shared, brief.token, on("uncounted", app="shop"))
    assert (await shared.revoke(token_id=made.record.id)).minted_left == 1


async def test_of_a_branch_only_what_it_and_its_descendants_minted_is_counted(shared: Almond) -> None:
    made = await shared.mint(org_wide("left-branch-2"))
    branch = await narrowed(shared, made.token)
    deeper = await narrowed(shared, branch.token)
    for each in (made, branch, deeper):
        await shared.mint(deploy(org="left-branch-2"), each.token)
    target: dict[str, Any] = {"branch": pb.BranchTarget(token_id=made.record.id, branch_id=branch.branch_id)}
    assert (await shared.revoke(**target, validate_only=True)).minted_left == 2
    assert (await shared.revoke(token=deeper.token)).minted_left == 1
    assert (await shared.revoke(token=branch.token)).minted_left == 2
    assert (await shared.revoke(token_id=made.record.id)).minted_left == 3


async def test_only_what_the_caller_may_see_is_counted(shared: Almond) -> None:
    made = await shared.mint(org_wide("unseen"))
    for name in ("web", "web", "api"):
        await shared.mint(deploy(name, "unseen"), made.token)
    blind = await shared.mint(custom(of_org("unseen"), ids("features", tokens="d")))
    reader = await shared.mint(revoker("unseen"))
    target: dict[str, Any] = {"token_id": made.record.id, "validate_only": True}
    assert (await shared.revoke(reader.token, **target)).minted_left == 3
    assert (await shared.revoke(blind.token, **target)).minted_left == 0
    ran = await shared.revoke(blind.token, token_id=made.record.id)
    assert (ran.entries, ran.minted_left) == (1, 0)


async def test_of_a_token_shown_its_own_holder_sees_what_it_minted_and_others_by_their_right(
    shared: Almond,
) -> None:
    made = await shared.mint(minter("web", "shown"))
    for _ in range(2):
        await shared.mint(deploy("web", "shown"), made.token)
    stranger = await shared.mint(org_wide("elsewhere"))
    for metadata in ((), bearer(stranger.token)):
        call = shared.stub.Revoke(pb.RevokeRequest(token=made.token, validate_only=True), metadata=metadata)
        assert (await call).minted_left == 2
    assert (await shared.stub.Revoke(pb.RevokeRequest(token=made.token))).minted_left == 2
    # It is revoked now, and nothing but the right of the others counts.
    for caller, expected in ((None, 0), (stranger.token, 0), (shared.admin, 2)):
        metadata = () if caller is None else bearer(caller)
        answer = await shared.stub.Revoke(pb.RevokeRequest(token=made.token), metadata=metadata)
        assert (answer.entries, answer.minted_left) == (0, expected)


async def test_a_token_that_revokes_itself_is_told_what_it_minted(shared: Almond) -> None:
    made = await shared.mint(org_wide("suicide"))
    await shared.mint(deploy(org="suicide"), made.token)
    done = await shared.revoke(made.token, token_id=made.record.id)
    assert (done.includes_caller, done.minted_left) == (True, 1)


async def test_an_orchestrator_sees_what_its_child_minted(shared: Almond) -> None:
    made = await shared.mint(custom(of_org("line"), ids("features", tokens="c")))
    child = await shared.mint(custom(of_org("line")), made.token)
    await shared.mint(custom(of_org("line")), child.token)
    assert (await shared.revoke(made.token, token_id=child.record.id)).minted_left == 1


async def test_counting_stops_at_the_maximum_and_is_absent_where_it_is_too_much(
    shared: Almond, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await shared.mint(org_wide("many"))
    for _ in range(3):
        await shared.mint(deploy(org="many"), made.token)
    monkeypatch.setattr(minted_left, "MAX_COUNTED", 2)
    assert (await shared.revoke(token_id=made.record.id, validate_only=True)).minted_left == 2
    monkeypatch.setattr(minters, "MAX_EXAMINED", 2)
    for is_dry_run in (True, False):
        answer = await shared.revoke(token_id=made.record.id, validate_only=is_dry_run)
        assert (answer.entries, answer.HasField("minted_left")) == (1, False)


async def test_of_bulk_targets_nothing_is_said(shared: Almond) -> None:
    made = await shared.mint(org_wide("bulk-left"))
    for target in (by(made), subject("user:none"), app("web", "bulk-left"), org("bulk-left")):
        for is_dry_run in (True, False):
            assert not (await shared.revoke(**target, validate_only=is_dry_run)).HasField("minted_left")


async def test_of_a_branch_the_answer_has_its_record_or_none(shared: Almond) -> None:
    made = await shared.mint(org_wide("branch-record"))
    known = await registered(shared, made.token)
    unknown = await narrowed(shared, made.token)
    for is_dry_run in (True, False):
        for branch_id, expected in ((known.branch_id, [known.record.id]), (unknown.branch_id, [])):
            target = pb.BranchTarget(token_id=made.record.id, branch_id=branch_id)
            answer = await shared.revoke(branch=target, validate_only=is_dry_run)
            assert (answer.entries, [each.id for each in answer.records]) == (1, expected)
    await expect_revoked(shared, known, unknown)


# With what it minted.


async def test_a_token_is_revoked_with_all_that_descends_from_it_and_nothing_else(shared: Almond) -> None:
    family = await Family.of(shared, "with-1")
    target: dict[str, Any] = {"token_id": family.minter.record.id, "with_minted": True}
    shown = await shared.revoke(**target, validate_only=True)
    assert {each.id for each in shown.records} == family.minted_ids | {family.minter.record.id}
    assert (shown.entries, shown.revision, shown.minted_left) == (5, "", 0)
    await expect_live(shared, family.minter, *family.minted)
    done = await shared.revoke(**target, reason="ci was broken into")
    assert (done.entries, done.HasField("minted_left"), done.minted_left) == (5, True, 0)
    await expect_revoked(shared, family.minter, *family.minted)
    await expect_live(shared, family.stranger)
    assert (await record(shared, family.grandchild.record.id)).revoke_reason == "ci was broken into"
    for each in (family.minter, family.great_grandchild):
        answer = await shared.verify(each.token, on("with-1"), min_revision=done.revision)
        assert answer.revision == done.revision
    again = await shared.revoke(**target)
    assert (again.entries, again.revision) == (0, done.revision)


async def test_what_a_token_that_is_revoked_already_minted_is_revoked(shared: Almond) -> None:
    family = await Family.of(shared, "with-2")
    await shared.revoke(token_id=family.minter.record.id)
    done = await shared.revoke(token_id=family.minter.record.id, with_minted=True)
    assert done.entries == 4
    await expect_revoked(shared, *family.minted)


async def test_a_caller_without_the_right_on_one_of_them_revokes_none_not_even_the_token(
    shared: Almond,
) -> None:
    here, there = "with-3", "with-4"
    top = await shared.mint(custom(of_org(here), of_org(here)))
    both = await shared.mint(custom(of_orgs(**{here: "*", there: "*"})))
    children = [await shared.mint(org_wide(each), both.token) for each in (here, there)]
    child = await shared.mint(deploy("web", here), top.token)
    app_only = (
        await shared.mint(custom(of_org(here), ids("apps", web="*"), ids("app_features", tokens="rd")))
    ).token
    for caller, made in (((await shared.mint(revoker(here))).token, both), (app_only, top)):
        for is_dry_run in (True, False):
            order: dict[str, Any] = {
                "token_id": made.record.id,
                "with_minted": True,
                "validate_only": is_dry_run,
            }
            assert (await refusal(shared.revoke(caller, **order))).reason == "NOT_THERE_OR_NOT_YOURS"
    await expect_live(shared, top, child, *children)
    assert (await shared.revoke(token_id=both.record.id, with_minted=True)).entries == 3


async def test_the_same_request_gets_the_same_answer(shared: Almond) -> None:
    family = await Family.of(shared, "with-5")
    order: dict[str, Any] = {
        "token_id": family.minter.record.id,
        "with_minted": True,
        "request_id": "with-minted-once",
    }
    done = await shared.revoke(**order)
    again = await shared.revoke(**order)
    assert again == done
    alone = await refusal(shared.revoke(token_id=family.minter.record.id, request_id="with-minted-once"))
    assert alone.reason == "REQUEST_ID_REUSED"


async def test_with_any_other_target_it_is_refused(shared: Almond) -> None:
    made = await shared.mint(org_wide("with-6"))
    for target in (
        {},
        target_of(made, "branch"),
        target_of(made, "token"),
        by(made),
        subject("user:x"),
        app("web", "with-6"),
        org("with-6"),
    ):
        refused = await refusal(shared.revoke(**target, with_minted=True))
        assert (refused.code, refused.field) == (grpc.StatusCode.INVALID_ARGUMENT, "with_minted")
    for token_id in ("", "short", f"{made.record.id}/{made.branch_id}"):
        refused = await refusal(shared.revoke(token_id=token_id, with_minted=True))
        assert (refused.code, refused.field) == (grpc.StatusCode.INVALID_ARGUMENT, "token_id")
    await expect_live(shared, made)


async def test_a_token_that_mints_new_apps_without_end_cannot_put_its_end_off(shared: Almond) -> None:
    """The right on the org is the right on every app of it, those that appear meanwhile included."""
    top = await shared.mint(org_wide("flood"))
    child = await shared.mint(org_wide("flood"), top.token)
    made: list[pb.MintResponse] = []

    async def flood(caller: str, name: str) -> None:
        for number in range(10_000):
            try:
                made.append(await shared.mint(deploy(f"{name}-{number}", "flood"), caller))
            except grpc.aio.AioRpcError:
                return

    floods = [asyncio.create_task(flood(each.token, name)) for each, name in ((top, "a"), (child, "b"))]
    await until(lambda: len(made) > 20)
    sweeper = await shared.mint(revoker("flood"))
    done = await shared.revoke(sweeper.token, token_id=top.record.id, with_minted=True)
    await asyncio.gather(*floods)
    assert done.entries == len(made) + 2
    await expect_revoked(shared, top, child, *made[:5], *made[-5:])
    assert [each.id for each in await listed(shared, "flood")] == [sweeper.record.id]
