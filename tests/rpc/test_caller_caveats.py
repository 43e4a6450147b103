"""Callers whose own token is narrowed by who, where and what, and tokens shown to whom they are not for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from almond.v1 import access_pb2, admin_service_pb2, admin_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from almond_server.rpc.server import REFLECTION_V1
from support.caveats import (
    Caveat,
    actions,
    attribute,
    audience,
    ip,
    narrowed,
    personal,
    reasons_of,
    registered,
    source,
    why,
)
from support.orders import deploy, minter, org_wide, verifier
from support.refusals import refusal
from support.service import Almond, Metadata, bearer, on, reflected

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
IN_SHOP = on("acme", app="shop")


# What can be called.

Ask = Callable[[Almond, pb.MintResponse, Metadata], Awaitable[Any]]


def _admin(service: Almond) -> Any:
    return admin_service_pb2_grpc.AdminServiceStub(service.channel)


def _set_policy(service: Almond, _: pb.MintResponse, metadata: Metadata) -> Awaitable[Any]:
    policy = admin_service_pb2.OrgPolicy(org="ruled", kind="ssh", max_ttl=Duration(seconds=60))
    request = admin_service_pb2.SetOrgPolicyRequest(policy=policy)
    asked: Awaitable[Any] = _admin(service).SetOrgPolicy(request, metadata=metadata)
    return asked


def _list_policies(service: Almond, _: pb.MintResponse, metadata: Metadata) -> Awaitable[Any]:
    request = admin_service_pb2.ListOrgPoliciesRequest()
    asked: Awaitable[Any] = _admin(service).ListOrgPolicies(request, metadata=metadata)
    return asked


async def _delete_policy(service: Almond, its: pb.MintResponse, metadata: Metadata) -> Any:
    await _set_policy(service, its, bearer(service.admin))
    request = admin_service_pb2.DeleteOrgPolicyRequest(org="ruled", kind="ssh")
    return await _admin(service).DeleteOrgPolicy(request, metadata=metadata)


async def _reflect(service: Almond, _: pb.MintResponse, metadata: Metadata) -> Any:
    return await reflected(service.channel, REFLECTION_V1, metadata)


CALLS: dict[str, Ask] = {
    "Mint": lambda service, _, metadata: service.stub.Mint(deploy(), metadata=metadata),
    "Attenuate": lambda service, its, metadata: service.stub.Attenuate(
        pb.AttenuateRequest(token=its.token, caveats=[actions("r")], register=True), metadata=metadata
    ),
    "Verify": lambda service, its, metadata: service.stub.Verify(
        pb.VerifyRequest(token=its.token, access=IN_SHOP), metadata=metadata
    ),
    "Revoke": lambda service, its, metadata: service.stub.Revoke(
        pb.RevokeRequest(token_id=its.record.id), metadata=metadata
    ),
    "Revoke a branch": lambda service, its, metadata: service.stub.Revoke(
        pb.RevokeRequest(branch=pb.BranchTarget(token_id=its.record.id, branch_id=its.branch_id)),
        metadata=metadata,
    ),
    "Revoke what one minted": lambda service, its, metadata: service.stub.Revoke(
        pb.RevokeRequest(minted_by=pb.MintedByTarget(token_id=its.record.id)), metadata=metadata
    ),
    "Revoke an org's": lambda service, _, metadata: service.stub.Revoke(
        pb.RevokeRequest(org=pb.OrgTarget(org="empty")), metadata=metadata
    ),
    "GetToken": lambda service, its, metadata: service.stub.GetToken(
        pb.GetTokenRequest(token_id=its.record.id), metadata=metadata
    ),
    "ListTokens": lambda service, _, metadata: service.stub.ListTokens(
        pb.ListTokensRequest(org="acme"), metadata=metadata
    ),
    "SetOrgPolicy": _set_policy,
    "DeleteOrgPolicy": _delete_policy,
    "ListOrgPolicies": _list_policies,
    "reflection": _reflect,
}

PERMITTED: dict[str, tuple[Caveat, ...]] = {
    "for Almond": (audience("almond"),),
    "for Almond and x": (audience("service:x", "almond"),),
    "from 127.0.0.0/8": (ip("127.0.0.0/8"),),
    "from 127.0.0.1": (ip("127.0.0.1"),),
    "from 10.0.0.0/8 or 127.0.0.1/32": (ip("10.0.0.0/8", "127.0.0.1/32"),),
    "from 127.0.0.0/8 written as IPv6": (ip("::ffff:127.0.0.0/104"),),
    "from anywhere": (ip("0.0.0.0/0"),),
    "for Almond from 127.0.0.1": (audience("almond"), ip("127.0.0.1")),
}

REFUSED: dict[str, tuple[Caveat, ...]] = {
    "for x": (audience("service:x"),),
    "for nobody": (audience(),),
    "for a service called almond": (audience("service:almond"),),
    "for Almond and then for x": (audience("almond"), audience("service:x")),
    "from 10.0.0.0/8": (ip("10.0.0.0/8"),),
    "from 127.0.0.2": (ip("127.0.0.2"),),
    "from IPv6's own host": (ip("::1"),),
    "from any IPv6": (ip("::/0"),),
    "from nowhere": (ip(),),
    "from 127.0.0.1 and then from 10.0.0.0/8": (ip("127.0.0.1"), ip("10.0.0.0/8")),
    "with an attribute": (attribute("method", "POST"),),
    "with an attribute of no value": (attribute("method"),),
    "with another address as attribute": (attribute("ip", "10.0.0.1"),),
    "from an org": (source(org="acme"),),
    "from the reserved org": (source(org="almond"),),
    "from an app and machine": (source(app="shop", machine="m1"),),
    "for Almond from an app": (audience("almond"), source(app="shop")),
}


async def caller_with(service: Almond, *caveats: Caveat) -> str:
    """Return the admin's token, narrowed by nothing but these."""
    return (await narrowed(service, service.admin, *caveats)).token


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", PERMITTED)
async def test_a_caller_narrowed_to_what_holds_here_makes_every_call(
    shared: Almond, how: str, call: str
) -> None:
    caller = await caller_with(shared, *PERMITTED[how])
    target = await shared.mint(deploy())
    assert await CALLS[call](shared, target, bearer(caller)) is not None


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", REFUSED)
async def test_a_caller_narrowed_to_what_does_not_hold_here_makes_no_call(
    shared: Almond, how: str, call: str
) -> None:
    caller = await caller_with(shared, *REFUSED[how])
    target = await shared.mint(deploy())
    refused = await refusal(CALLS[call](shared, target, bearer(caller)))
    assert (refused.code, refused.reason) == (PERMISSION_DENIED, "CALLER_DENIED")
    assert await why(shared, target.token, IN_SHOP) == []


@pytest.mark.parametrize("how", [*PERMITTED, *REFUSED])
async def test_each_question_of_a_batch_is_asked_by_the_narrowed_caller(shared: Almond, how: str) -> None:
    caller = await caller_with(shared, *(PERMITTED | REFUSED)[how])
    target = await shared.mint(deploy())
    question = pb.VerifyRequest(token=target.token, access=IN_SHOP)
    batch = pb.BatchVerifyRequest(requests=[question, question])
    answer = await shared.stub.BatchVerify(batch, metadata=bearer(caller))
    assert len(answer.results) == 2
    for each in answer.results:
        if how in PERMITTED:
            assert reasons_of(each.response) == []
        else:
            assert (each.error.code, each.error.reason) == (7, "CALLER_DENIED")


@pytest.mark.parametrize("how", [*PERMITTED, *REFUSED])
async def test_inspect_tells_more_to_whom_the_narrowed_token_is_good_for(shared: Almond, how: str) -> None:
    caller = await caller_with(shared, *(PERMITTED | REFUSED)[how])
    target = await shared.mint(deploy())
    request = pb.InspectTokenRequest(token=target.token)
    told = await shared.stub.InspectToken(request, metadata=bearer(caller))
    assert told.facts.token_id == target.record.id
    assert told.HasField("record") == told.HasField("revoked") == (how in PERMITTED)


# What the request claims of itself is not what the server sees.


@pytest.mark.parametrize(
    ("caveat", "claims"),
    [
        (ip("10.0.0.0/8"), {"attributes": {"ip": "10.1.2.3"}}),
        (attribute("method", "POST"), {"attributes": {"method": "POST"}}),
        (source(org="acme"), {"source": access_pb2.Source(org="acme")}),
        (source(app="shop"), {"source": access_pb2.Source(org="acme", app="shop", machine="m1")}),
    ],
    ids=["ip", "attribute", "org", "app"],
)
async def test_a_caller_does_not_get_in_by_what_its_question_claims(
    shared: Almond, caveat: Caveat, claims: dict[str, Any]
) -> None:
    caller = await caller_with(shared, caveat)
    target = (await shared.mint(deploy())).token
    asked = on("acme", app="shop", **claims)
    assert (await refusal(shared.verify(target, asked, caller))).code is PERMISSION_DENIED
    child = (await narrowed(shared, target, caveat)).token
    assert await why(shared, child, asked) == []


async def test_a_caller_is_not_kept_out_by_what_its_question_claims(shared: Almond) -> None:
    caller = await caller_with(shared, ip("127.0.0.0/8"))
    target = (await shared.mint(deploy())).token
    for claimed in ("10.1.2.3", "127.0.0.1", "::1"):
        asked = on("acme", app="shop", attributes={"ip": claimed})
        assert await why(shared, target, asked, caller) == []


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "x-real-ip", "forwarded", "ip", "x-envoy-external-address"]
)
async def test_a_header_does_not_say_where_a_call_comes_from(shared: Almond, header: str) -> None:
    inside, outside = await caller_with(shared, ip("127.0.0.1")), await caller_with(shared, ip("10.0.0.0/8"))
    request = pb.ListTokensRequest(org="acme")
    claimed = ((header, "10.0.0.1"),)
    assert await shared.stub.ListTokens(request, metadata=(*bearer(inside), *claimed)) is not None
    refused = await refusal(shared.stub.ListTokens(request, metadata=(*bearer(outside), *claimed)))
    assert refused.code is PERMISSION_DENIED


async def test_where_the_token_under_question_may_be_used_is_said_by_the_question_alone(
    shared: Almond,
) -> None:
    made = (await shared.mint(deploy())).token
    inside, outside = [
        (await narrowed(shared, made, ip(each))).token for each in ("127.0.0.0/8", "10.0.0.0/8")
    ]
    for claimed, of_inside, of_outside in (
        ("127.0.0.1", [], ["IP"]),
        ("10.255.0.1", ["IP"], []),
        ("11.0.0.1", ["IP"], ["IP"]),
        ("::ffff:10.0.0.1", ["IP"], []),
        (None, ["IP"], ["IP"]),
    ):
        claims: dict[str, Any] = {} if claimed is None else {"attributes": {"ip": claimed}}
        asked = on("acme", app="shop", **claims)
        assert await why(shared, inside, asked) == of_inside, claimed
        assert await why(shared, outside, asked) == of_outside, claimed


# What a narrowed caller hands on.


async def test_what_a_narrowed_caller_mints_is_narrowed_like_it(shared: Almond) -> None:
    holder = (await shared.mint(org_wide())).token
    caller = (await narrowed(shared, holder, audience("almond"), ip("127.0.0.0/8"))).token
    child = await shared.mint(org_wide(), caller)
    assert await why(shared, child.token, on("acme")) == ["AUDIENCE", "IP"]
    assert await shared.mint(deploy(), child.token) is not None


async def test_a_token_that_may_not_call_is_still_revoked_by_its_holder(shared: Almond) -> None:
    made = (await shared.mint(deploy())).token
    for with_a_caller in (False, True):
        child = (await narrowed(shared, made, audience("service:x"), ip("10.0.0.0/8"))).token
        metadata = bearer(child) if with_a_caller else ()
        done = await shared.stub.Revoke(pb.RevokeRequest(token=child), metadata=metadata)
        assert done.entries == 1
        assert "REVOKED" in await why(shared, child, IN_SHOP)
    assert await why(shared, made, IN_SHOP) == []


async def test_of_several_callers_tokens_the_one_that_is_good_here_makes_the_call(shared: Almond) -> None:
    useless = await caller_with(shared, audience("service:x"))
    far = await caller_with(shared, ip("10.0.0.0/8"))
    useful = await caller_with(shared, ip("127.0.0.1"))
    assert (await shared.mint(deploy(), f"{useless},{far},{useful}")).token
    assert (await refusal(shared.mint(deploy(), f"{useless},{far}"))).code is PERMISSION_DENIED


# To whom a token may be shown.


async def for_gate(service: Almond, *services: str) -> str:
    made = (await service.mint(deploy())).token
    return (await narrowed(service, made, audience(*(services or ("service:gate",))))).token


async def test_a_token_for_a_service_is_good_when_that_service_asks(shared: Almond) -> None:
    token = await for_gate(shared)
    for order in (verifier(name="gate"), verifier("*", name="gate"), minter(name="gate")):
        caller_subject = (await shared.mint(order)).token
        assert await why(shared, token, IN_SHOP, caller_subject) == []
        assert await why(shared, token, on("acme", app="blog"), caller_subject) == ["WRONG_OBJECT"]
        of_the_asker = (await narrowed(shared, caller_subject, audience("almond"))).token
        assert await why(shared, token, IN_SHOP, of_the_asker) == []


@pytest.mark.parametrize(
    "order",
    [
        verifier(name="other"),
        verifier(name="Gate"),
        verifier(name="gate2"),
        verifier(name="service:gate"),
        verifier("*", name="almond"),
        org_wide(name="service:gate"),
        personal("gate"),
        minter(name="ci"),
    ],
    ids=["other", "Gate", "gate2", "service:gate", "almond", "org token", "user gate", "minter"],
)
async def test_a_token_for_a_service_is_denied_whoever_else_asks(
    shared: Almond, order: pb.MintRequest
) -> None:
    token = await for_gate(shared)
    caller_subject = (await shared.mint(order)).token
    assert await why(shared, token, IN_SHOP, caller_subject) == ["AUDIENCE"]


async def test_a_token_for_a_service_is_denied_when_the_admin_asks(shared: Almond) -> None:
    assert await why(shared, await for_gate(shared), IN_SHOP) == ["AUDIENCE"]
    assert await why(shared, await for_gate(shared, "almond"), IN_SHOP) == ["AUDIENCE"]
    assert await why(shared, await for_gate(shared, "service:almond", "almond"), IN_SHOP) == ["AUDIENCE"]


@pytest.mark.parametrize("services", [("service:gate",), ("almond",), ("service:gate", "almond")], ids=str)
async def test_a_token_for_a_service_is_denied_when_it_asks_about_itself(
    shared: Almond, services: tuple[str, ...]
) -> None:
    token = await for_gate(shared, *services)
    for metadata in ((), bearer(token)):
        question = pb.VerifyRequest(token=token, access=IN_SHOP)
        assert reasons_of(await shared.stub.Verify(question, metadata=metadata)) == ["AUDIENCE"]


async def test_a_services_own_token_for_itself_is_denied_when_it_asks_about_itself(shared: Almond) -> None:
    own = (await shared.mint(minter(name="gate"))).token
    itself = (await narrowed(shared, own, audience("service:gate"))).token
    question = pb.VerifyRequest(token=itself, access=IN_SHOP)
    for metadata in ((), bearer(itself)):
        assert reasons_of(await shared.stub.Verify(question, metadata=metadata)) == ["AUDIENCE"]
    assert await why(shared, itself, IN_SHOP, own) == []


async def test_a_token_for_nobody_is_denied_to_everybody(shared: Almond) -> None:
    made = (await shared.mint(deploy())).token
    token = (await narrowed(shared, made, audience())).token
    gate = (await shared.mint(verifier(name="gate"))).token
    for caller_subject in (gate, shared.admin):
        assert await why(shared, token, IN_SHOP, caller_subject) == ["AUDIENCE"]


async def test_a_token_for_two_services_is_good_for_each_and_narrowed_again_for_one(shared: Almond) -> None:
    token = await for_gate(shared, "service:gate", "service:door")
    gate, door = [(await shared.mint(verifier(name=each))).token for each in ("gate", "door")]
    narrower = (await narrowed(shared, token, audience("service:door", "service:window"))).token
    assert await why(shared, token, IN_SHOP, gate) == await why(shared, token, IN_SHOP, door) == []
    assert await why(shared, narrower, IN_SHOP, door) == []
    assert await why(shared, narrower, IN_SHOP, gate) == ["AUDIENCE"]


async def test_who_asks_is_the_first_of_the_callers_tokens_that_may(shared: Almond) -> None:
    token = await for_gate(shared)
    gate, other = [(await shared.mint(verifier(name=each))).token for each in ("gate", "other")]
    foreign = (await shared.mint(verifier("other", name="other"))).token
    assert await why(shared, token, IN_SHOP, f"{gate},{other}") == []
    assert await why(shared, token, IN_SHOP, f"{foreign},{gate}") == []
    assert await why(shared, token, IN_SHOP, f"{other},{gate}") == ["AUDIENCE"]


async def test_a_service_of_another_org_may_not_even_ask(shared: Almond) -> None:
    token = await for_gate(shared)
    foreign = (await shared.mint(verifier("other", name="gate"))).token
    assert (await refusal(shared.verify(token, IN_SHOP, foreign))).code is PERMISSION_DENIED


async def test_a_batch_is_asked_by_its_caller(shared: Almond) -> None:
    token = await for_gate(shared)
    batch = pb.BatchVerifyRequest(requests=[pb.VerifyRequest(token=token, access=IN_SHOP)])
    for name, reasons in (("gate", []), ("other", ["AUDIENCE"])):
        caller_subject = (await shared.mint(verifier(name=name))).token
        answer = await shared.stub.BatchVerify(batch, metadata=bearer(caller_subject))
        assert reasons_of(answer.results[0].response) == reasons


async def test_no_attribute_or_source_makes_an_asker_of_somebody_else(shared: Almond) -> None:
    token = await for_gate(shared)
    other = (await shared.mint(verifier(name="other"))).token
    claims: dict[str, Any] = {
        "attributes": {"audience": "service:gate", "subject": "service:gate", "asker": "service:gate"},
        "source": access_pb2.Source(org="acme", app="gate"),
    }
    asked = on("acme", app="shop", **claims)
    assert await why(shared, token, asked, other) == ["AUDIENCE"]


async def test_a_registered_token_for_a_service_is_for_that_service(shared: Almond) -> None:
    made = (await shared.mint(deploy())).token
    child = await registered(shared, made, audience("service:gate"))
    gate = (await shared.mint(verifier(name="gate"))).token
    assert await why(shared, child.token, IN_SHOP, gate) == []
    assert await why(shared, child.token, IN_SHOP) == ["AUDIENCE"]
    assert '["audience",["service:gate"]]' in child.record.caveats
