"""Callers whose own token has caveats about audience, address, attributes or source.

And tokens with an audience, presented by a service that is in it or not.
"""

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


# The calls.

Call = Callable[[Almond, pb.MintResponse, Metadata], Awaitable[Any]]


def _admin(service: Almond) -> Any:
    return admin_service_pb2_grpc.AdminServiceStub(service.channel)


def _set_policy(service: Almond, _: pb.MintResponse, metadata: Metadata) -> Awaitable[Any]:
    policy = admin_service_pb2.OrgPolicy(org="ruled", kind="ssh", max_ttl=Duration(seconds=60))
    request = admin_service_pb2.SetOrgPolicyRequest(policy=policy)
    call: Awaitable[Any] = _admin(service).SetOrgPolicy(request, metadata=metadata)
    return call


def _list_policies(service: Almond, _: pb.MintResponse, metadata: Metadata) -> Awaitable[Any]:
    request = admin_service_pb2.ListOrgPoliciesRequest()
    call: Awaitable[Any] = _admin(service).ListOrgPolicies(request, metadata=metadata)
    return call


async def _delete_policy(service: Almond, target: pb.MintResponse, metadata: Metadata) -> Any:
    await _set_policy(service, target, bearer(service.admin))
    request = admin_service_pb2.DeleteOrgPolicyRequest(org="ruled", kind="ssh")
    return await _admin(service).DeleteOrgPolicy(request, metadata=metadata)


async def _reflect(service: Almond, _: pb.MintResponse, metadata: Metadata) -> Any:
    return await reflected(service.channel, REFLECTION_V1, metadata)


CALLS: dict[str, Call] = {
    "Mint": lambda service, _, metadata: service.stub.Mint(deploy(), metadata=metadata),
    "Attenuate": lambda service, target, metadata: service.stub.Attenuate(
        pb.AttenuateRequest(token=target.token, caveats=[actions("r")], register=True), metadata=metadata
    ),
    "Verify": lambda service, target, metadata: service.stub.Verify(
        pb.VerifyRequest(token=target.token, access=IN_SHOP), metadata=metadata
    ),
    "Revoke": lambda service, target, metadata: service.stub.Revoke(
        pb.RevokeRequest(token_id=target.record.id), metadata=metadata
    ),
    "Revoke a branch": lambda service, target, metadata: service.stub.Revoke(
        pb.RevokeRequest(branch=pb.BranchTarget(token_id=target.record.id, branch_id=target.branch_id)),
        metadata=metadata,
    ),
    "Revoke what one minted": lambda service, target, metadata: service.stub.Revoke(
        pb.RevokeRequest(minted_by=pb.MintedByTarget(token_id=target.record.id)), metadata=metadata
    ),
    "Revoke an org's": lambda service, _, metadata: service.stub.Revoke(
        pb.RevokeRequest(org=pb.OrgTarget(org="empty")), metadata=metadata
    ),
    "GetToken": lambda service, target, metadata: service.stub.GetToken(
        pb.GetTokenRequest(token_id=target.record.id), metadata=metadata
    ),
    "ListTokens": lambda service, _, metadata: service.stub.ListTokens(
        pb.ListTokensRequest(org="acme"), metadata=metadata
    ),
    "SetOrgPolicy": _set_policy,
    "DeleteOrgPolicy": _delete_policy,
    "ListOrgPolicies": _list_policies,
    "reflection": _reflect,
}

BY_ID = {"Revoke", "Revoke a branch", "Revoke what one minted", "GetToken"}
"""Calls about an id: a refusal does not tell whether there is such a token."""

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
    "for no service": (audience(),),
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
    """Return the admin's token, attenuated by these caveats alone."""
    return (await narrowed(service, service.admin, *caveats)).token


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", PERMITTED)
async def test_a_caller_whose_caveats_permit_makes_every_call(shared: Almond, how: str, call: str) -> None:
    caller = await caller_with(shared, *PERMITTED[how])
    target = await shared.mint(deploy())
    assert await CALLS[call](shared, target, bearer(caller)) is not None


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", REFUSED)
async def test_a_caller_whose_caveats_deny_makes_no_call(shared: Almond, how: str, call: str) -> None:
    caller = await caller_with(shared, *REFUSED[how])
    target = await shared.mint(deploy())
    refused = await refusal(CALLS[call](shared, target, bearer(caller)))
    reason = "NOT_THERE_OR_NOT_YOURS" if call in BY_ID else "CALLER_DENIED"
    assert (refused.code, refused.reason) == (PERMISSION_DENIED, reason)
    assert await why(shared, target.token, IN_SHOP) == []


@pytest.mark.parametrize("how", [*PERMITTED, *REFUSED])
async def test_the_callers_caveats_hold_for_each_request_of_a_batch(shared: Almond, how: str) -> None:
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
async def test_inspect_answers_more_to_a_caller_whose_caveats_permit(shared: Almond, how: str) -> None:
    caller = await caller_with(shared, *(PERMITTED | REFUSED)[how])
    target = await shared.mint(deploy())
    request = pb.InspectTokenRequest(token=target.token)
    answer = await shared.stub.InspectToken(request, metadata=bearer(caller))
    assert answer.facts.token_id == target.record.id
    assert answer.HasField("record") == answer.HasField("revoked") == (how in PERMITTED)


# A request cannot claim what the server sees for itself.


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
async def test_a_caller_is_not_permitted_by_what_its_request_claims(
    shared: Almond, caveat: Caveat, claims: dict[str, Any]
) -> None:
    caller = await caller_with(shared, caveat)
    target = (await shared.mint(deploy())).token
    access = on("acme", app="shop", **claims)
    assert (await refusal(shared.verify(target, access, caller))).code is PERMISSION_DENIED
    child = (await narrowed(shared, target, caveat)).token
    assert await why(shared, child, access) == []


async def test_a_caller_is_not_denied_by_what_its_request_claims(shared: Almond) -> None:
    caller = await caller_with(shared, ip("127.0.0.0/8"))
    target = (await shared.mint(deploy())).token
    for claimed in ("10.1.2.3", "127.0.0.1", "::1"):
        access = on("acme", app="shop", attributes={"ip": claimed})
        assert await why(shared, target, access, caller) == []


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "x-real-ip", "forwarded", "ip", "x-envoy-external-address"]
)
async def test_no_header_changes_the_address_of_a_caller(shared: Almond, header: str) -> None:
    inside, outside = await caller_with(shared, ip("127.0.0.1")), await caller_with(shared, ip("10.0.0.0/8"))
    request = pb.ListTokensRequest(org="acme")
    claimed = ((header, "10.0.0.1"),)
    assert await shared.stub.ListTokens(request, metadata=(*bearer(inside), *claimed)) is not None
    refused = await refusal(shared.stub.ListTokens(request, metadata=(*bearer(outside), *claimed)))
    assert refused.code is PERMISSION_DENIED


async def test_the_address_for_a_verified_token_is_the_one_in_the_request(shared: Almond) -> None:
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
        access = on("acme", app="shop", **claims)
        assert await why(shared, inside, access) == of_inside, claimed
        assert await why(shared, outside, access) == of_outside, claimed


# Tokens that such a caller mints.


async def test_what_a_caller_mints_has_the_callers_caveats(shared: Almond) -> None:
    holder = (await shared.mint(org_wide())).token
    caller = (await narrowed(shared, holder, audience("almond"), ip("127.0.0.0/8"))).token
    child = await shared.mint(org_wide(), caller)
    assert await why(shared, child.token, on("acme")) == ["AUDIENCE", "IP"]
    assert await shared.mint(deploy(), child.token) is not None


async def test_a_token_that_may_not_call_can_still_be_revoked_by_possession(shared: Almond) -> None:
    made = (await shared.mint(deploy())).token
    for with_a_caller in (False, True):
        child = (await narrowed(shared, made, audience("service:x"), ip("10.0.0.0/8"))).token
        metadata = bearer(child) if with_a_caller else ()
        done = await shared.stub.Revoke(pb.RevokeRequest(token=child), metadata=metadata)
        assert done.entries == 1
        assert "REVOKED" in await why(shared, child, IN_SHOP)
    assert await why(shared, made, IN_SHOP) == []


async def test_of_several_callers_tokens_one_whose_caveats_permit_is_enough(shared: Almond) -> None:
    useless = await caller_with(shared, audience("service:x"))
    far = await caller_with(shared, ip("10.0.0.0/8"))
    useful = await caller_with(shared, ip("127.0.0.1"))
    assert (await shared.mint(deploy(), f"{useless},{far},{useful}")).token
    assert (await refusal(shared.mint(deploy(), f"{useless},{far}"))).code is PERMISSION_DENIED


# Tokens with an audience.


async def for_gate(service: Almond, *services: str) -> str:
    made = (await service.mint(deploy())).token
    return (await narrowed(service, made, audience(*(services or ("service:gate",))))).token


async def test_a_token_for_a_service_is_allowed_when_that_service_verifies_it(shared: Almond) -> None:
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
async def test_a_token_for_a_service_is_denied_when_another_caller_verifies_it(
    shared: Almond, order: pb.MintRequest
) -> None:
    token = await for_gate(shared)
    caller_subject = (await shared.mint(order)).token
    assert await why(shared, token, IN_SHOP, caller_subject) == ["AUDIENCE"]


async def test_a_token_for_a_service_is_denied_when_the_admin_verifies_it(shared: Almond) -> None:
    assert await why(shared, await for_gate(shared), IN_SHOP) == ["AUDIENCE"]
    assert await why(shared, await for_gate(shared, "almond"), IN_SHOP) == ["AUDIENCE"]
    assert await why(shared, await for_gate(shared, "service:almond", "almond"), IN_SHOP) == ["AUDIENCE"]


@pytest.mark.parametrize("services", [("service:gate",), ("almond",), ("service:gate", "almond")], ids=str)
async def test_a_token_for_a_service_is_denied_when_it_verifies_itself(
    shared: Almond, services: tuple[str, ...]
) -> None:
    token = await for_gate(shared, *services)
    for metadata in ((), bearer(token)):
        question = pb.VerifyRequest(token=token, access=IN_SHOP)
        assert reasons_of(await shared.stub.Verify(question, metadata=metadata)) == ["AUDIENCE"]


async def test_a_services_token_for_that_service_is_denied_when_it_verifies_itself(shared: Almond) -> None:
    own = (await shared.mint(minter(name="gate"))).token
    itself = (await narrowed(shared, own, audience("service:gate"))).token
    question = pb.VerifyRequest(token=itself, access=IN_SHOP)
    for metadata in ((), bearer(itself)):
        assert reasons_of(await shared.stub.Verify(question, metadata=metadata)) == ["AUDIENCE"]
    assert await why(shared, itself, IN_SHOP, own) == []


async def test_a_token_with_an_empty_audience_is_always_denied(shared: Almond) -> None:
    made = (await shared.mint(deploy())).token
    token = (await narrowed(shared, made, audience())).token
    gate = (await shared.mint(verifier(name="gate"))).token
    for caller_subject in (gate, shared.admin):
        assert await why(shared, token, IN_SHOP, caller_subject) == ["AUDIENCE"]


async def test_a_token_for_two_services_can_be_attenuated_to_one(shared: Almond) -> None:
    token = await for_gate(shared, "service:gate", "service:door")
    gate, door = [(await shared.mint(verifier(name=each))).token for each in ("gate", "door")]
    narrower = (await narrowed(shared, token, audience("service:door", "service:window"))).token
    assert await why(shared, token, IN_SHOP, gate) == await why(shared, token, IN_SHOP, door) == []
    assert await why(shared, narrower, IN_SHOP, door) == []
    assert await why(shared, narrower, IN_SHOP, gate) == ["AUDIENCE"]


async def test_the_audience_is_the_first_of_the_callers_tokens_that_may_verify(shared: Almond) -> None:
    token = await for_gate(shared)
    gate, other = [(await shared.mint(verifier(name=each))).token for each in ("gate", "other")]
    foreign = (await shared.mint(verifier("other", name="other"))).token
    assert await why(shared, token, IN_SHOP, f"{gate},{other}") == []
    assert await why(shared, token, IN_SHOP, f"{foreign},{gate}") == []
    assert await why(shared, token, IN_SHOP, f"{other},{gate}") == ["AUDIENCE"]


async def test_a_service_of_another_org_may_not_verify(shared: Almond) -> None:
    token = await for_gate(shared)
    foreign = (await shared.mint(verifier("other", name="gate"))).token
    assert (await refusal(shared.verify(token, IN_SHOP, foreign))).code is PERMISSION_DENIED


async def test_the_audience_of_a_batch_is_its_caller(shared: Almond) -> None:
    token = await for_gate(shared)
    batch = pb.BatchVerifyRequest(requests=[pb.VerifyRequest(token=token, access=IN_SHOP)])
    for name, reasons in (("gate", []), ("other", ["AUDIENCE"])):
        caller_subject = (await shared.mint(verifier(name=name))).token
        answer = await shared.stub.BatchVerify(batch, metadata=bearer(caller_subject))
        assert reasons_of(answer.results[0].response) == reasons


async def test_no_attribute_or_source_changes_the_audience(shared: Almond) -> None:
    token = await for_gate(shared)
    other = (await shared.mint(verifier(name="other"))).token
    claims: dict[str, Any] = {
        "attributes": {"audience": "service:gate", "subject": "service:gate", "asker": "service:gate"},
        "source": access_pb2.Source(org="acme", app="gate"),
    }
    access = on("acme", app="shop", **claims)
    assert await why(shared, token, access, other) == ["AUDIENCE"]


async def test_a_registered_token_for_a_service_is_for_that_service(shared: Almond) -> None:
    made = (await shared.mint(deploy())).token
    child = await registered(shared, made, audience("service:gate"))
    gate = (await shared.mint(verifier(name="gate"))).token
    assert await why(shared, child.token, IN_SHOP, gate) == []
    assert await why(shared, child.token, IN_SHOP) == ["AUDIENCE"]
    assert '["audience",["service:gate"]]' in child.record.caveats
