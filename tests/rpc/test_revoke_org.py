"""Revoke by org: all tokens of one org that were issued before one moment, with one cut-off."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from support.caveats import custom, listed, of_org, of_orgs, personal, record, why
from support.orders import deploy, org_wide, verifier
from support.refusals import refusal
from support.revoking import expect_live, expect_revoked, org, subject
from support.service import Almond, on

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED


async def test_all_tokens_of_an_org_and_its_apps_are_revoked_and_no_others(shared: Almond) -> None:
    revoked = [
        await shared.mint(each)
        for each in (org_wide("o-1"), deploy("web", "o-1"), verifier("o-1"), personal(orgs=["o-1"]))
    ]
    kept = [
        await shared.mint(each)
        for each in (org_wide("o-2"), custom(of_orgs(**{"o-1": "*", "o-2": "*"})), custom(of_org("*")))
    ]
    done = await shared.revoke(**org("o-1"))
    assert done.entries == 1
    await expect_revoked(shared, *revoked)
    await expect_live(shared, *kept)
    of_both, of_any = kept[1:]
    assert await why(shared, of_both.token, on("o-1")) == ["REVOKED"]
    assert await why(shared, of_both.token, on("o-2")) == []
    assert await why(shared, of_any.token, on("o-1")) == []
    again = await shared.mint(org_wide("o-1"))
    await expect_live(shared, again)
    assert [each.id for each in await listed(shared, "o-1")] == [again.record.id]
    kept_record = await record(shared, revoked[0].record.id)
    assert kept_record.revoked_by == (await record(shared, revoked[1].record.id)).revoked_by
    assert kept_record.revoke_reason == ""


async def test_what_an_orgs_token_minted_for_another_org_stays_live(shared: Almond) -> None:
    holder = await shared.mint(custom(of_orgs(**{"o-3": "*", "o-4": "*"})))
    child = await shared.mint(org_wide("o-4"), holder.token)
    of_the_org = await shared.mint(org_wide("o-3"), holder.token)
    assert (await shared.revoke(**org("o-3"))).entries == 1
    await expect_revoked(shared, of_the_org)
    await expect_live(shared, child, holder)


async def test_only_the_reserved_org_revokes_tokens_of_any_org(shared: Almond) -> None:
    gate = await shared.mint(verifier("*", name="everywhere"))
    holder = (await shared.mint(org_wide("acme"))).token
    for target in (org("almond"), subject("service:everywhere")):
        assert (await refusal(shared.revoke(holder, **target))).code is PERMISSION_DENIED
    await expect_live(shared, gate)
    shown = await shared.revoke(**org("almond"), validate_only=True)
    assert shown.includes_caller
    assert gate.record.id in {each.id for each in shown.records}
    assert (await shared.revoke(**subject("service:everywhere"))).entries == 1
    await expect_revoked(shared, gate)


async def test_a_caller_of_several_orgs_is_refused_only_in_the_revoked_one(shared: Almond) -> None:
    caller = (await shared.mint(custom(of_orgs(**{"c-1": "*", "c-2": "*"})))).token
    shown = await shared.revoke(caller, **org("c-1"), validate_only=True)
    done = await shared.revoke(caller, **org("c-1"))
    assert shown.includes_caller
    assert done.includes_caller
    refused = await refusal(shared.mint(org_wide("c-1"), caller))
    assert refused.code is PERMISSION_DENIED
    assert "has been revoked there (everything of org c-1 issued until " in refused.message
    assert (await refusal(shared.mint(custom(of_orgs(**{"c-1": "*", "c-2": "*"})), caller))).code is (
        PERMISSION_DENIED
    )
    assert (await shared.mint(org_wide("c-2"), caller)).token


async def test_a_denial_names_the_org_or_subject_that_was_revoked(shared: Almond) -> None:
    made = await shared.mint(verifier("said", name="said"))
    await shared.revoke(**org("said"))
    (denial,) = (await shared.verify(made.token, on("said", feature="decisions"))).denials
    assert "everything of org said issued until 20" in denial.sentence
    await shared.revoke(**subject("service:said"))
    (denial,) = (await shared.verify(made.token, on("said", feature="decisions"))).denials
    assert "everything of subject service:said issued until 20" in denial.sentence


@pytest.mark.parametrize("how", ["org", "subject"])
async def test_a_cut_off_must_not_be_in_the_future(shared: Almond, how: str) -> None:
    made = await shared.mint(verifier(f"future-{how}", name=f"future-{how}"))
    target = org if how == "org" else subject
    name = f"future-{how}" if how == "org" else f"service:future-{how}"
    soon = Timestamp()
    soon.GetCurrentTime()
    late = Timestamp(seconds=soon.seconds + 60)
    for is_dry_run in (True, False):
        refused = await refusal(shared.revoke(**target(name, issued_before=late), validate_only=is_dry_run))
        assert refused.code is INVALID_ARGUMENT
        assert refused.field == f"{how}.issued_before"
    next_one = Timestamp(seconds=soon.seconds + 3)
    assert (await shared.revoke(**target(name, issued_before=next_one))).entries == 1
    after = await shared.mint(verifier(f"future-{how}", name=f"future-{how}"))
    await expect_revoked(shared, made)
    await expect_live(shared, after)


async def test_a_token_of_a_revoked_org_can_still_be_revoked_by_its_id(shared: Almond) -> None:
    made = await shared.mint(org_wide("twice"))
    await shared.revoke(**org("twice"), reason="all of it")
    assert (await shared.revoke(token_id=made.record.id, validate_only=True)).entries == 1
    assert (await shared.revoke(token_id=made.record.id, reason="this one")).entries == 1
    assert (await shared.revoke(token_id=made.record.id, validate_only=True)).entries == 0
    assert (await record(shared, made.record.id)).revoke_reason == "all of it"
