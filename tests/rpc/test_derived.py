"""Derived tokens with a record of their own: listed under their parent, and revoked alone."""

from __future__ import annotations

import asyncio
import base64
import secrets

import grpc
import pytest

from almond.v1 import caveat_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core.caveats import Org
from almond_core.masks import ALL
from almond_server.adapters.sql import tokens as sql_tokens
from almond_server.domain.records import MAX_DERIVED
from support.caveats import (
    Caveat,
    actions,
    custom,
    ids,
    kind_of,
    listed,
    machine_exec,
    narrowed,
    of_org,
    personal,
    record,
    registered,
    seconds,
    ssh,
    why,
)
from support.orders import deploy, minter, org_wide, readonly, revoker, verifier
from support.refusals import refusal
from support.service import Almond, bearer, on, signed

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
NOT_FOUND = grpc.StatusCode.NOT_FOUND
IN_SHOP = on("acme", app="shop")


def branch(response: pb.MintResponse | pb.AttenuateResponse, token_id: str) -> pb.BranchTarget:
    return pb.BranchTarget(token_id=token_id, branch_id=response.branch_id)


# The record.


async def test_a_registered_token_is_listed_under_its_parent(shared: Almond) -> None:
    made = await shared.mint(deploy(org="listing"))
    child = await registered(shared, made.token, label="for the report")
    kept = child.record
    assert kept.id == f"{made.record.id}/{child.branch_id}"
    assert (kept.branch_id, kept.parent_id) == (child.branch_id, made.record.id)
    assert kept.name == "for the report"
    assert (kept.kind, kept.org, kept.app) == ("deploy", "listing", "shop")
    assert list(kept.caveats)[: len(made.record.caveats)] == list(made.record.caveats)
    assert list(kept.caveats)[len(made.record.caveats)] == '["action","r"]'
    assert "for the report" in kept.caveats[-1]
    assert kept.expire_time == made.record.expire_time
    assert kept.create_time.ToMilliseconds() >= made.record.create_time.ToMilliseconds()
    assert kept in await listed(shared, "listing")
    assert kept in await listed(shared, "listing", app="shop")
    assert kept not in await listed(shared, "listing", app="blog")
    assert await record(shared, kept.id) == kept


async def test_a_minted_token_has_neither_branch_nor_parent(shared: Almond) -> None:
    made = await shared.mint(deploy())
    assert (made.record.branch_id, made.record.parent_id) == ("", "")
    assert made.record == await record(shared, made.record.id)


async def test_a_record_names_the_token_that_was_registered(shared: Almond) -> None:
    made = await shared.mint(deploy())
    child = await registered(shared, made.token)
    answer = await shared.verify(child.token, IN_SHOP)
    assert answer.facts.token_id == made.record.id
    assert answer.facts.branch_ids[-1] == child.record.branch_id
    assert list(answer.caveats) == list(child.record.caveats)
    assert await why(shared, child.token, on("acme", "w", app="shop")) == ["ACTION"]


async def test_a_grandchild_is_listed_under_its_nearest_recorded_ancestor(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child = await registered(shared, made.token)
    grandchild = await registered(shared, child.token)
    between = await narrowed(shared, grandchild.token)
    distant = await registered(shared, between.token)
    unrecorded = await narrowed(shared, made.token)
    nephew = await registered(shared, unrecorded.token)
    assert grandchild.record.parent_id == child.record.id
    assert distant.record.parent_id == grandchild.record.id
    assert nephew.record.parent_id == made.record.id
    for each in (grandchild, distant, nephew):
        assert each.record.id == f"{made.record.id}/{each.branch_id}"


async def test_the_record_has_the_end_of_the_derived_token(shared: Almond) -> None:
    made = await shared.mint(org_wide(ttl=seconds(3600)))
    end = caveat_pb2.ValidCaveat()
    end.not_after.CopyFrom(made.record.expire_time)
    end.not_after.seconds -= 60
    child = await registered(shared, made.token, Caveat(valid=end))
    assert child.record.expire_time == end.not_after


async def test_the_record_names_the_caller_that_registered_it(shared: Almond) -> None:
    made, holder = await shared.mint(org_wide()), await shared.mint(org_wide())
    child = await registered(shared, made.token, caller=holder.token)
    assert child.record.minter_token_id == holder.record.id


async def test_the_callers_label_names_the_record(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    label = Caveat(label=caveat_pb2.LabelCaveat(text="mine"))
    child = await registered(shared, made.token, actions("r"), label)
    assert child.record.name == "mine"
    assert (await registered(shared, made.token)).record.name


async def test_two_registrations_make_two_records_unless_their_labels_are_the_same(shared: Almond) -> None:
    made = await shared.mint(org_wide("twice"))
    first, second = [await registered(shared, made.token) for _ in range(2)]
    assert first.record.id != second.record.id
    label_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
    label = Caveat(label=caveat_pb2.LabelCaveat(id=label_id, text="same"))
    third, fourth = [await registered(shared, made.token, actions("r"), label) for _ in range(2)]
    assert (third.token, third.record) == (fourth.token, fourth.record)
    assert len(await listed(shared, "twice")) == 4


async def test_without_register_nothing_is_recorded(shared: Almond) -> None:
    made = await shared.mint(org_wide("silent"))
    before = await listed(shared, "silent", show_all=True)
    request = pb.AttenuateRequest(token=made.token, caveats=[actions("r")], label="not kept")
    for metadata in ((), bearer(shared.admin)):
        child = await shared.stub.Attenuate(request, metadata=metadata)
        assert not child.HasField("record")
        refused = await refusal(record(shared, f"{made.record.id}/{child.branch_id}"))
        assert (refused.code, refused.reason) == (NOT_FOUND, "TOKEN_NOT_FOUND")
    assert await listed(shared, "silent", show_all=True) == before == [made.record]


async def test_no_record_of_a_derived_token_holds_its_text(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child = await registered(shared, made.token)
    assert "alm1_" not in str(child.record)
    files = [each.read_bytes() for each in shared.data_dir.iterdir() if each.name.startswith("almond.db")]
    assert any(child.record.id.encode() in each for each in files)
    assert not any(child.token[5:-7].encode() in each for each in files)


@pytest.mark.parametrize("suffix", ["/", "/x", "/" + "A" * 21, "/" + "A" * 23, "/" + "!" * 22, "//"])
async def test_the_id_of_a_derived_token_has_one_spelling(shared: Almond, suffix: str) -> None:
    made = await shared.mint(org_wide())
    child = await registered(shared, made.token)
    for wrong in (made.record.id + suffix, child.record.id + suffix, child.record.id + "="):
        refused = await refusal(record(shared, wrong))
        assert (refused.code, refused.field) == (INVALID_ARGUMENT, "token_id"), wrong


async def test_a_derived_tokens_record_is_read_by_the_readers_of_its_parents(shared: Almond) -> None:
    made = await shared.mint(deploy())
    child = await registered(shared, made.token)
    readers = [org_wide(), readonly(), revoker(), custom(of_org(), ids("app_features", tokens="r"))]
    for order in readers:
        assert await record(shared, child.record.id, (await shared.mint(order)).token) == child.record
    for order in (org_wide("other"), deploy(), verifier(), custom(of_org(), ids("features", tokens="c"))):
        refused = await refusal(record(shared, child.record.id, (await shared.mint(order)).token))
        assert refused.code is PERMISSION_DENIED, order


# Revocation.


async def test_a_derived_token_is_revoked_alone_with_what_derives_from_it(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child, sibling = [await registered(shared, made.token) for _ in range(2)]
    grandchild = await registered(shared, child.token)
    unrecorded = await narrowed(shared, grandchild.token)
    done = await shared.revoke(branch=branch(child, made.record.id), reason="lost")
    assert done.entries == 1
    for token in (child.token, grandchild.token, unrecorded.token):
        assert await why(shared, token, on("acme")) == ["REVOKED"]
    for token in (made.token, sibling.token):
        assert await why(shared, token, on("acme")) == []
    for each in (child, grandchild):
        kept = await record(shared, each.record.id)
        assert kept.HasField("revoke_time")
        assert kept.revoke_reason == "lost"
    for record_id in (made.record.id, sibling.record.id):
        assert not (await record(shared, record_id)).HasField("revoke_time")


async def test_a_revoked_derived_token_is_no_longer_listed_and_its_parent_is(
    shared: Almond,
) -> None:
    made = await shared.mint(org_wide("leaving"))
    child, sibling = [await registered(shared, made.token) for _ in range(2)]
    await shared.revoke(branch=branch(child, made.record.id))
    assert {each.id for each in await listed(shared, "leaving")} == {made.record.id, sibling.record.id}
    assert {each.id for each in await listed(shared, "leaving", show_all=True)} == {
        made.record.id,
        sibling.record.id,
        child.record.id,
    }


async def test_revoking_the_minted_token_revokes_all_its_records(shared: Almond) -> None:
    made, other = await shared.mint(org_wide("family")), await shared.mint(org_wide("family"))
    child = await registered(shared, made.token)
    grandchild = await registered(shared, child.token)
    assert (await shared.revoke(token_id=made.record.id)).entries == 1
    for each in (child, grandchild):
        assert (await record(shared, each.record.id)).HasField("revoke_time")
        assert await why(shared, each.token, on("family")) == ["REVOKED"]
    assert [each.id for each in await listed(shared, "family")] == [other.record.id]


async def test_possession_of_a_derived_token_revokes_it_and_its_record(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child = await registered(shared, made.token)
    assert (await shared.stub.Revoke(pb.RevokeRequest(token=child.token, reason="mine"))).entries == 1
    assert (await record(shared, child.record.id)).revoke_reason == "mine"
    assert not (await record(shared, made.record.id)).HasField("revoke_time")
    assert await why(shared, made.token, on("acme")) == []


async def test_the_id_of_a_derived_token_is_no_target(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child = await registered(shared, made.token)
    refused = await refusal(shared.revoke(token_id=child.record.id))
    assert (refused.code, refused.field) == (INVALID_ARGUMENT, "token_id")
    assert await why(shared, child.token, on("acme")) == []


async def test_a_dry_run_shows_the_branchs_own_record_and_changes_nothing(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child = await registered(shared, made.token)
    asked = await shared.revoke(branch=branch(child, made.record.id), validate_only=True)
    assert (asked.entries, asked.revision, list(asked.records)) == (1, "", [child.record])
    assert await why(shared, child.token, on("acme")) == []
    assert (await shared.revoke(branch=branch(child, made.record.id))).entries == 1
    again = await shared.revoke(branch=branch(child, made.record.id), validate_only=True)
    assert again.entries == (await shared.revoke(branch=branch(child, made.record.id))).entries == 0


async def test_a_dry_run_for_a_branch_without_a_record_shows_no_other_record(
    shared: Almond,
) -> None:
    made = await shared.mint(org_wide())
    child = await narrowed(shared, made.token)
    asked = await shared.revoke(branch=branch(child, made.record.id), validate_only=True)
    await shared.revoke(branch=branch(child, made.record.id))
    revoked = [
        each
        for each in await listed(shared, "acme", show_all=True)
        if each.HasField("revoke_time") and each.id.startswith(made.record.id)
    ]
    assert [each.id for each in asked.records] == [each.id for each in revoked] == []


async def test_a_dry_run_for_a_revoked_branch_finds_nothing_to_revoke(
    shared: Almond,
) -> None:
    made = await shared.mint(org_wide())
    child = await narrowed(shared, made.token)
    await shared.revoke(branch=branch(child, made.record.id))
    asked = await shared.revoke(branch=branch(child, made.record.id), validate_only=True)
    assert asked.entries == (await shared.revoke(branch=branch(child, made.record.id))).entries == 0


# Who may register, and which tokens.


@pytest.mark.parametrize(
    "order",
    [
        org_wide(),
        minter(),
        minter("shop"),
        personal(),
        custom(of_org(), ids("features", tokens="c")),
        custom(of_org(), ids("app_features", tokens="c")),
    ],
    ids=kind_of,
)
async def test_a_caller_who_may_mint_for_the_app_may_register(shared: Almond, order: pb.MintRequest) -> None:
    made = await shared.mint(deploy("shop"))
    holder = (await shared.mint(order)).token
    child = await registered(shared, made.token, caller=holder)
    assert (await record(shared, child.record.id)) == child.record


@pytest.mark.parametrize(
    "order",
    [
        deploy("shop"),
        deploy("blog"),
        ssh("shop"),
        machine_exec(),
        readonly(),
        verifier(),
        verifier("*"),
        revoker(),
        minter("blog"),
        minter("shop", org="other"),
        org_wide("other"),
        custom(of_org(), ids("features", tokens="rwdC")),
    ],
    ids=kind_of,
)
async def test_a_caller_who_may_not_mint_for_the_app_may_not_register(
    shared: Almond, order: pb.MintRequest
) -> None:
    made = await shared.mint(deploy("shop"))
    holder = (await shared.mint(order)).token
    before = len(await listed(shared, "acme", show_all=True))
    assert (await refusal(registered(shared, made.token, caller=holder))).code is PERMISSION_DENIED
    assert len(await listed(shared, "acme", show_all=True)) == before


async def test_a_token_registers_what_derives_from_itself_only_with_the_right_to_mint(
    shared: Almond,
) -> None:
    deploying, holder = (await shared.mint(deploy())).token, (await shared.mint(org_wide())).token
    assert (await refusal(registered(shared, deploying, caller=deploying))).code is PERMISSION_DENIED
    child = await registered(shared, holder, caller=holder)
    assert await why(shared, child.token, on("acme")) == []


async def test_a_minter_of_one_app_registers_nothing_of_the_whole_org(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    ci = (await shared.mint(minter("shop"))).token
    assert (await refusal(registered(shared, made.token, caller=ci))).code is PERMISSION_DENIED


async def test_registering_needs_a_caller_although_attenuating_needs_none(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    request = pb.AttenuateRequest(token=made.token, caveats=[actions("r")])
    assert (await shared.stub.Attenuate(request)).token
    request.register = True
    refused = await refusal(shared.stub.Attenuate(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")


async def test_nothing_is_registered_of_a_revoked_parent(shared: Almond) -> None:
    made = await shared.mint(org_wide("revoked"))
    child = await registered(shared, made.token)
    grandchild = await narrowed(shared, child.token)
    await shared.revoke(branch=branch(child, made.record.id))
    for token in (child.token, grandchild.token):
        refused = await refusal(registered(shared, token))
        assert (refused.code, refused.field) == (INVALID_ARGUMENT, "token")
    assert (await registered(shared, made.token)).record.parent_id == made.record.id
    await shared.revoke(token_id=made.record.id)
    before = await listed(shared, "revoked", show_all=True)
    refused = await refusal(registered(shared, made.token))
    assert (refused.code, refused.field) == (INVALID_ARGUMENT, "token")
    assert await listed(shared, "revoked", show_all=True) == before


async def test_nothing_is_registered_of_a_forged_parent(shared: Almond) -> None:
    made = await shared.mint(org_wide("forged"))
    key_id = (await shared.verify(made.token, on("forged"))).facts.key_id
    anything = Org("forged", ALL)
    for token, reason in (
        (signed(secrets.token_bytes(32), key_id, (anything,), "forged"), "TOKEN_BROKEN_CHAIN"),
        (signed(secrets.token_bytes(32), "k00000000", (anything,), "forged"), "TOKEN_UNKNOWN_KEY"),
        (made.token[:-7], "TOKEN_TRUNCATED"),
        ("", "TOKEN_MISSING"),
        (f"{made.token},{made.token}", None),
    ):
        refused = await refusal(registered(shared, token))
        assert (refused.code, refused.field) == (INVALID_ARGUMENT, "token")
        assert reason in {refused.reason, None}
    assert await listed(shared, "forged", show_all=True) == [made.record]


async def test_nothing_is_registered_of_a_genuine_token_that_was_never_recorded(shared: Almond) -> None:
    token = await shared.signed_here(Org("acme", ALL))
    refused = await refusal(registered(shared, token))
    assert (refused.code, refused.reason) == (NOT_FOUND, "TOKEN_NOT_FOUND")


async def test_a_revoked_caller_registers_nothing(shared: Almond) -> None:
    made, holder = await shared.mint(org_wide("gone")), await shared.mint(org_wide("gone"))
    await shared.revoke(token_id=holder.record.id)
    refused = await refusal(registered(shared, made.token, caller=holder.token))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert {each.id for each in await listed(shared, "gone")} == {made.record.id}


async def test_registrations_at_once_each_get_their_record(shared: Almond) -> None:
    made = await shared.mint(org_wide("at-once"))
    children = await asyncio.gather(*(registered(shared, made.token) for _ in range(20)))
    assert len({each.record.id for each in children}) == 20
    assert {each.record.parent_id for each in children} == {made.record.id}
    assert len(await listed(shared, "at-once")) == 21


async def test_a_registration_over_the_limit_of_a_token_is_refused(
    shared: Almond, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_DERIVED == 1000  # as the API promises; so many would take ten seconds
    monkeypatch.setattr(sql_tokens, "MAX_DERIVED", 20)
    made, other = await shared.mint(org_wide("full")), await shared.mint(org_wide("full"))
    await asyncio.gather(*(registered(shared, made.token) for _ in range(20)))
    refused = await refusal(registered(shared, made.token))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_DERIVED")
    assert (await narrowed(shared, made.token)).token
    assert (await registered(shared, other.token)).record.parent_id == other.record.id
