"""RotateToken: the successor, what becomes of its predecessor, who may ask for it, and what is refused."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import admin_service_pb2, admin_service_pb2_grpc, caveat_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core import kinds
from almond_core.caveats import Org, Valid
from almond_core.masks import ALL
from almond_core.model import ANY, token_id_at
from almond_server.domain.stores import Actor
from almond_server.tokens.rotate import ROTATABLE
from support.caveats import (
    actions,
    audience,
    custom,
    every_kind,
    ids,
    kind_of,
    narrowed,
    of_org,
    of_orgs,
    personal,
    record,
    registered,
    seconds,
    why,
)
from support.orders import deploy, minter, org_wide, readonly, revoker, verifier
from support.plane import in_background
from support.refusals import Refusal, refusal
from support.service import Almond, bearer, on
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR, DAY = 3600, 24 * 3600
REFUSED = grpc.StatusCode.FAILED_PRECONDITION
DENIED = grpc.StatusCode.PERMISSION_DENIED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def relay(shared: Almond) -> AsyncIterator[None]:
    """Elect the service's relay, and carry out what is due."""
    async with in_background(shared.app.relay.run()), in_background(shared.app.due.run()):
        yield


def rotate(
    service: Almond, of: pb.MintResponse | str, overlap: int | None = HOUR, caller: str = "", **more: Any
) -> Awaitable[pb.RotateTokenResponse]:
    request = pb.RotateTokenRequest(token_id=of if isinstance(of, str) else of.record.id, **more)
    if overlap is not None:
        request.overlap.CopyFrom(seconds(overlap))
    return service.stub.RotateToken(request, metadata=bearer(caller or service.admin))


def take_back(service: Almond, of: pb.MintResponse, **more: Any) -> Awaitable[pb.RotateTokenResponse]:
    return rotate(service, of, None, take_back=True, **more)


async def refused(call: Awaitable[Any], code: grpc.StatusCode, reason: str) -> Refusal:
    error = await refusal(call)
    assert (error.code, error.reason) == (code, reason), error.message
    return error


async def reasons(service: Almond, token: str, org: str = "acme") -> list[str]:
    return await why(service, token, on(org))


def without_end(caveats: Any) -> list[str]:
    return [each for each in caveats if '"valid"' not in each]


def life(of: Any) -> int:
    return int(of.expire_time.seconds - of.create_time.seconds)


# What it does.


async def test_a_successor_is_the_same_token_with_another_id_and_end(shared: Almond) -> None:
    old = await shared.mint(deploy(name="ci", ttl=seconds(2 * HOUR)))
    done = await rotate(shared, old)
    for field in ("name", "kind", "org", "app", "subject"):
        assert getattr(done.record, field) == getattr(old.record, field)
    assert without_end(done.record.caveats) == without_end(old.record.caveats)
    assert life(done.record) == life(old.record) == 2 * HOUR
    assert done.record.id != old.record.id
    answer = await shared.verify(done.token, on("acme", "w", app="shop"))
    assert answer.facts.token_id == done.record.id
    assert answer.facts.branch_ids[-1] == done.branch_id
    assert await record(shared, done.record.id) == done.record


async def test_during_the_overlap_both_are_valid_and_the_record_says_until_when(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    done = await rotate(shared, old, 2 * HOUR)
    assert done.rotated.successor_id == done.record.id
    assert 0 <= done.rotated.revoke_due_time.seconds - done.record.create_time.seconds - 2 * HOUR <= 5
    assert not done.rotated.HasField("revoke_time")
    kept = await record(shared, old.record.id)
    kept.ClearField("last_use_time")
    assert kept == done.rotated
    assert not done.record.HasField("revoke_due_time")
    assert [await reasons(shared, each) for each in (old.token, done.token)] == [[], []]


async def test_when_the_overlap_has_passed_the_old_token_is_revoked_by_the_one_that_rotated_it(
    shared: Almond,
) -> None:
    operator = await shared.mint(org_wide(ttl=seconds(DAY)))
    old = await shared.mint(org_wide(ttl=seconds(HOUR)), operator.token)
    done = await rotate(shared, old, 1, operator.token)
    await eventually(lambda: reasons(shared, old.token), lambda found: found == ["REVOKED"], 10)
    assert await reasons(shared, done.token) == []
    kept = await record(shared, old.record.id)
    assert kept.revoked_by == operator.record.id
    assert kept.revoke_reason == f"rotated: succeeded by {done.record.id}"
    assert kept.revoke_due_time == done.rotated.revoke_due_time


@pytest.mark.parametrize("overlap", [None, 0])
async def test_without_an_overlap_the_old_token_is_denied_when_the_call_returns(
    shared: Almond, overlap: int | None
) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    done = await rotate(shared, old, overlap)
    assert await reasons(shared, old.token) == ["REVOKED"]
    assert await reasons(shared, done.token) == []
    assert done.rotated.HasField("revoke_time")


async def test_a_successor_can_be_rotated_too(shared: Almond) -> None:
    first = await shared.mint(org_wide(ttl=seconds(HOUR)))
    second = await rotate(shared, first)
    third = await rotate(shared, second.record.id)
    assert third.rotated.successor_id == third.record.id
    assert without_end(third.record.caveats) == without_end(first.record.caveats)


async def test_what_the_old_token_minted_lives_and_what_was_derived_from_it_does_not(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(DAY)))
    child = await shared.mint(deploy(ttl=seconds(HOUR)), old.token)
    derived = await registered(shared, old.token)
    done = await rotate(shared, old, 0)
    assert await why(shared, child.token, on("acme", app="shop")) == []
    assert (await record(shared, child.record.id)).minter_token_id == old.record.id
    assert await reasons(shared, derived.token) == ["REVOKED"]
    assert (await record(shared, derived.record.id)).revoke_reason.endswith(done.record.id)


def lasting(org: str) -> list[pb.MintRequest]:
    orders = every_kind(org, ttl=seconds(HOUR))
    assert set(orders) == kinds.NAMES
    return [order for name, several in orders.items() if name in ROTATABLE for order in several]


@pytest.mark.parametrize("order", lasting("acme"), ids=kind_of)
async def test_every_kind_but_a_session_is_rotated_with_the_same_caveats(
    shared: Almond, order: pb.MintRequest
) -> None:
    old = await shared.mint(order)
    done = await rotate(shared, old)
    assert without_end(done.record.caveats) == without_end(old.record.caveats)
    assert (done.record.kind, done.record.subject) == (old.record.kind, old.record.subject)


async def test_a_token_for_any_org_is_rotated_by_one_that_outlives_it(shared: Almond) -> None:
    admin = await shared.signed_here(Org(ANY, ALL), home_org="almond")
    gate = await shared.mint(verifier(org="*", ttl=seconds(HOUR)))
    assert (await rotate(shared, gate, caller=admin)).record.org == "almond"
    admins_id = (await shared.stub.InspectToken(pb.InspectTokenRequest(token=shared.admin))).facts.token_id
    successor = await rotate(shared, admins_id, DAY, admin)
    assert (await shared.mint(org_wide("anywhere"), successor.token)).token
    await take_back(shared, await _as_minted(shared, admins_id))
    # Not by itself: that would outlive its own minter.
    await refused(rotate(shared, admins_id), REFUSED, "SUCCESSOR_DIFFERS")


async def _as_minted(service: Almond, token_id: str) -> pb.MintResponse:
    return pb.MintResponse(record=await record(service, token_id))


async def test_a_token_of_several_orgs_is_rotated(shared: Almond) -> None:
    old = await shared.mint(custom(of_orgs(acme="r", other="*"), ttl=seconds(HOUR)))
    done = await rotate(shared, old)
    assert done.record.org == ""
    assert [await reasons(shared, done.token, org) for org in ("acme", "other")] == [[], []]


# To take it back.


async def test_a_rotation_that_is_taken_back_leaves_the_old_token_alone_valid(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    done = await rotate(shared, old, 1)
    undone = await take_back(shared, old)
    assert (undone.token, undone.branch_id) == ("", "")
    assert undone.record.id == done.record.id
    assert undone.record.HasField("revoke_time")
    assert await reasons(shared, done.token) == ["REVOKED"]
    assert (undone.rotated.successor_id, undone.rotated.HasField("revoke_due_time")) == ("", False)
    # Whatever was due after it is carried out now.
    marker = await shared.mint(org_wide(ttl=seconds(HOUR)))
    await rotate(shared, marker, 1)
    await eventually(lambda: reasons(shared, marker.token), lambda found: found == ["REVOKED"], 10)
    assert await reasons(shared, old.token) == []
    assert (await rotate(shared, old)).token


async def test_only_a_pending_rotation_is_taken_back(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    await refused(take_back(shared, old), REFUSED, "NOT_ROTATED")
    await rotate(shared, old, 0)
    await refused(take_back(shared, old), REFUSED, "TOKEN_ENDED")
    both = rotate(shared, old, HOUR, take_back=True)
    assert (await refused(both, INVALID, "FIELD_INVALID")).field == "overlap"


# The same request again.


async def test_a_repeated_request_gets_the_same_successor(shared: Almond) -> None:
    old = await shared.mint(org_wide("again", ttl=seconds(HOUR)))
    done = await rotate(shared, old, request_id="one")
    admin: Any = admin_service_pb2_grpc.AdminServiceStub(shared.channel)
    rule = admin_service_pb2.OrgPolicy(org="again", kind="org", max_ttl=seconds(60))
    request = admin_service_pb2.SetOrgPolicyRequest(policy=rule)
    await admin.SetOrgPolicy(request, metadata=bearer(shared.admin))
    assert await rotate(shared, old, request_id="one") == done
    await refused(rotate(shared, old, 7, request_id="one"), INVALID, "REQUEST_ID_REUSED")
    await refused(rotate(shared, old, request_id="two"), REFUSED, "ALREADY_ROTATED")


async def test_a_repeated_request_does_not_show_a_successor_that_was_revoked_since(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    done = await rotate(shared, old, request_id="three")
    await shared.revoke(token_id=done.record.id)
    await refused(rotate(shared, old, request_id="three"), REFUSED, "MINTED_TOKEN_ENDED")
    undone = await take_back(shared, old, request_id="four")
    assert await take_back(shared, old, request_id="four") == undone


async def test_a_token_is_rotated_once_however_many_ask(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    asked = await asyncio.gather(*(rotate(shared, old) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(each, pb.RotateTokenResponse) for each in asked) == 1
    error = await refused(rotate(shared, old), REFUSED, "ALREADY_ROTATED")
    assert (await record(shared, old.record.id)).successor_id in error.message


# Who may.


async def test_it_takes_the_rights_to_mint_and_to_revoke(shared: Almond) -> None:
    old = await shared.mint(deploy(ttl=seconds(HOUR)))
    whole = (await shared.mint(org_wide(ttl=seconds(DAY)))).token
    for mask in ("c", "d", "r", "rwC"):
        caller = (await narrowed(shared, whole, ids("features", tokens=mask))).token
        await refused(rotate(shared, old, caller=caller), DENIED, "NOT_THERE_OR_NOT_YOURS")
        await refused(take_back(shared, old, caller=caller), DENIED, "NOT_THERE_OR_NOT_YOURS")
    unknown = pb.RotateTokenRequest(token_id="AAAAAAAAcACAAAAAAAAAAA")
    await refused(shared.stub.RotateToken(unknown, metadata=bearer(whole)), DENIED, "NOT_THERE_OR_NOT_YOURS")
    assert (await rotate(shared, old, caller=whole)).token


async def test_a_minter_rotates_what_it_minted_itself(shared: Almond) -> None:
    ci = (await shared.mint(minter("shop", ttl=seconds(DAY)))).token
    old = await shared.mint(deploy("shop", ttl=seconds(HOUR)), ci)
    others = await shared.mint(deploy("shop", ttl=seconds(HOUR)))
    assert (await rotate(shared, old, caller=ci)).token
    await refused(rotate(shared, others, caller=ci), DENIED, "NOT_THERE_OR_NOT_YOURS")


async def test_it_takes_them_where_the_token_is(shared: Almond) -> None:
    old = await shared.mint(deploy("shop", ttl=seconds(HOUR)))
    for order in (org_wide("other"), minter("shop"), revoker()):
        caller = (await shared.mint(order)).token
        await refused(rotate(shared, old, caller=caller), DENIED, "NOT_THERE_OR_NOT_YOURS")
    for order in (verifier(org="*", ttl=seconds(HOUR)), custom(of_orgs(acme="*", other="*"))):
        wide = await shared.mint(order)
        caller = (await shared.mint(org_wide())).token
        await refused(rotate(shared, wide, caller=caller), DENIED, "NOT_THERE_OR_NOT_YOURS")


@pytest.mark.parametrize("order", [minter, revoker, verifier])
async def test_a_token_with_a_subject_is_rotated_by_those_only_that_may_name_it(
    shared: Almond, order: Any
) -> None:
    old = await shared.mint(order(ttl=seconds(HOUR)))
    caller = (await shared.mint(org_wide(ttl=seconds(DAY)))).token
    error = await refused(rotate(shared, old, caller=caller), DENIED, "CALLER_DENIED")
    assert "identities" in error.message
    assert (await rotate(shared, old)).record.subject == old.record.subject


async def test_a_minter_takes_back_its_own_rotation_and_no_other(shared: Almond) -> None:
    ci = (await shared.mint(minter("shop", ttl=seconds(DAY)))).token
    old = await shared.mint(deploy("shop", ttl=seconds(HOUR)), ci)
    assert (await rotate(shared, old, caller=ci)).token
    await take_back(shared, old, caller=ci)
    assert (await rotate(shared, old, caller=(await shared.mint(org_wide(ttl=seconds(DAY)))).token)).token
    await refused(take_back(shared, old, caller=ci), DENIED, "NOT_THERE_OR_NOT_YOURS")
    sibling = (await narrowed(shared, ci, actions("rwcd"))).token
    await refused(take_back(shared, old, caller=sibling), DENIED, "NOT_THERE_OR_NOT_YOURS")
    await take_back(shared, old)


# What is refused.


async def test_a_successor_that_would_permit_less_is_refused_and_the_restriction_named(
    shared: Almond,
) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    by_admin = (await shared.mint(org_wide(ttl=seconds(DAY)))).token
    for restriction, word in ((actions("rcd"), "read, create, delete"), (audience("almond"), "almond")):
        caller = (await narrowed(shared, by_admin, restriction)).token
        error = await refused(rotate(shared, old, caller=caller), REFUSED, "SUCCESSOR_DIFFERS")
        assert "permit less" in error.message
        assert word in error.message
    assert not (await record(shared, old.record.id)).successor_id


async def test_a_right_that_the_old_token_lacks_as_well_makes_no_difference(shared: Almond) -> None:
    old = await shared.mint(readonly(ttl=seconds(HOUR)))
    caller = (await shared.mint(org_wide(ttl=seconds(DAY)))).token
    done = await rotate(shared, old, caller=caller)
    assert await why(shared, done.token, on("acme", "w")) == ["ACTION"]


async def test_a_successor_that_would_end_sooner_is_refused_and_the_time_named(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(DAY)))
    caller = (await shared.mint(org_wide(ttl=seconds(HOUR)))).token
    error = await refused(rotate(shared, old, caller=caller), REFUSED, "SUCCESSOR_DIFFERS")
    assert "sooner" in error.message
    assert "UTC or later" in error.message
    # A token that its minter's end cut short lives as long as it did, not as long as it was asked for.
    short = await shared.mint(org_wide(ttl=seconds(DAY)), caller)
    assert life(short.record) <= HOUR
    assert life((await rotate(shared, short)).record) == life(short.record)


async def test_a_policy_that_would_cut_the_successor_short_is_named(shared: Almond) -> None:
    old = await shared.mint(readonly("ruled", ttl=seconds(2 * HOUR)))
    admin: Any = admin_service_pb2_grpc.AdminServiceStub(shared.channel)
    for kind, maximum, is_cut in (
        ("*", HOUR, True),
        ("readonly", 2 * HOUR - 1, True),
        ("*", 2 * HOUR, False),
    ):
        rule = admin_service_pb2.OrgPolicy(org="ruled", kind=kind, max_ttl=seconds(maximum))
        request = admin_service_pb2.SetOrgPolicyRequest(policy=rule)
        await admin.SetOrgPolicy(request, metadata=bearer(shared.admin))
        if is_cut:
            error = await refused(rotate(shared, old), REFUSED, "SUCCESSOR_DIFFERS")
            assert "the maximum of org ruled" in error.message
        delete = admin_service_pb2.DeleteOrgPolicyRequest(org="ruled", kind=kind)
        if is_cut:
            await admin.DeleteOrgPolicy(delete, metadata=bearer(shared.admin))
    assert life((await rotate(shared, old)).record) == 2 * HOUR


async def test_a_token_that_has_ended_is_not_rotated(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    await shared.revoke(token_id=old.record.id)
    await refused(rotate(shared, old), REFUSED, "TOKEN_ENDED")
    gone = await shared.mint(org_wide("gone", ttl=seconds(HOUR)))
    await shared.revoke(org=pb.OrgTarget(org="gone"))
    await refused(rotate(shared, gone), REFUSED, "TOKEN_ENDED")
    brief = await shared.mint(org_wide(ttl=seconds(1)))
    await eventually(lambda: reasons(shared, brief.token), lambda found: found == ["EXPIRED"], 10)
    error = await refused(rotate(shared, brief), REFUSED, "TOKEN_ENDED")
    assert "expired" in error.message


async def test_a_session_is_not_rotated(shared: Almond) -> None:
    error = await refused(rotate(shared, await shared.mint(personal())), REFUSED, "CANNOT_ROTATE")
    assert "session" in error.message


async def test_a_derived_token_is_not_rotated_and_its_minted_one_is_named(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    derived = await registered(shared, old.token)
    for call in (rotate(shared, derived.record.id), rotate(shared, derived.record.id, None, take_back=True)):
        error = await refused(call, INVALID, "FIELD_INVALID")
        assert error.field == "token_id"
        assert f"rotate {old.record.id}," in error.message


def _another_id() -> str:
    return token_id_at(1_700_000_000_000, secrets.token_bytes(10))


async def test_what_a_newer_version_made_is_not_rotated(shared: Almond) -> None:
    known = await shared.app.store.tokens.get((await shared.mint(org_wide(ttl=seconds(HOUR)))).record.id)
    assert known is not None
    new_kind = replace(known, token_id=_another_id(), kind="auditor")
    new_caveat = replace(known, token_id=_another_id(), caveats=(*known.caveats, b'["new",1]'))
    for each in (new_kind, new_caveat):
        await shared.app.store.tokens.add(each, Actor("operator"), None, 0)
        await refused(rotate(shared, each.token_id), REFUSED, "CANNOT_ROTATE")


async def test_a_token_with_a_beginning_of_its_own_is_not_rotated(shared: Almond) -> None:
    beginning = caveat_pb2.Caveat(valid=caveat_pb2.ValidCaveat(not_before=Timestamp(seconds=1_700_000_000)))
    old = await shared.mint(custom(of_org(), beginning, ttl=seconds(HOUR)))
    error = await refused(rotate(shared, old), REFUSED, "CANNOT_ROTATE")
    assert "beginning" in error.message


async def test_a_caller_with_a_beginning_in_the_past_makes_no_difference(shared: Almond) -> None:
    caller = await shared.signed_here(Org("acme", ALL), Valid(1_700_000_000, None))
    assert (await rotate(shared, await shared.mint(org_wide(ttl=seconds(HOUR))), caller=caller)).token


@pytest.mark.parametrize(
    ("request_of", "field"),
    [
        ({"token_id": ""}, "token_id"),
        ({"token_id": "no-id"}, "token_id"),
        ({"overlap": seconds(-1)}, "overlap"),
        ({"overlap": seconds(30 * DAY + 1)}, "overlap"),
        ({"overlap": Duration(seconds=1, nanos=1)}, "overlap"),
        ({"request_id": "x" * 65}, "request_id"),
    ],
)
async def test_a_malformed_request_names_its_field(
    shared: Almond, request_of: dict[str, Any], field: str
) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    request = pb.RotateTokenRequest(**{"token_id": old.record.id} | request_of)
    error = await refusal(shared.stub.RotateToken(request, metadata=bearer(shared.admin)))
    assert (error.code, error.field) == (INVALID, field)


async def test_an_unknown_id_is_not_found(shared: Almond) -> None:
    await refused(rotate(shared, _another_id()), grpc.StatusCode.NOT_FOUND, "TOKEN_NOT_FOUND")


async def test_no_refusal_holds_a_secret(shared: Almond) -> None:
    old = await shared.mint(org_wide(ttl=seconds(HOUR)))
    done = await rotate(shared, old)
    for call in (
        rotate(shared, old),
        rotate(shared, _another_id()),
        rotate(shared, done.record.id, 31 * DAY),
    ):
        assert "alm1_" not in (await refusal(call)).message
