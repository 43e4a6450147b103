"""Bulk Revoke requests: retries, broken targets, and calls without a caller."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import token_service_pb2 as pb
from support.caveats import personal
from support.orders import deploy, revoker
from support.refusals import refusal
from support.revoking import Family, app, by, expect_live, expect_revoked, org, subject
from support.service import Almond, bearer

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT


async def test_a_retry_gets_the_answer_of_the_first_call(shared: Almond) -> None:
    family = await Family.of(shared, "retry-1")
    order = {**by(family.minter), "request_id": "bulk-1"}
    first = await shared.revoke(**order)
    late = await shared.mint(deploy(org="retry-1"), family.minter.token)
    assert await shared.revoke(**order) == first
    await expect_live(shared, late)
    other = {**org("retry-1"), "request_id": "bulk-1"}
    assert (await refusal(shared.revoke(**other))).reason == "REQUEST_ID_REUSED"


async def test_a_retry_needs_rights_only_on_what_the_first_call_revoked(shared: Almond) -> None:
    login = await shared.mint(personal("frank", orgs=["retry-2"]))
    caller = (await shared.mint(revoker("retry-2", name="retry-2-sweeper"))).token
    order = {**subject("user:frank"), "request_id": "bulk-2"}
    first = await shared.revoke(caller, **order)
    assert first.entries == 1
    await expect_revoked(shared, login)
    assert await shared.revoke(caller, **order) == first


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ({}, "target"),
        ({"minted_by": pb.MintedByTarget()}, "minted_by.token_id"),
        ({"minted_by": pb.MintedByTarget(token_id="x")}, "minted_by.token_id"),
        (
            {"minted_by": pb.MintedByTarget(token_id="AaMYW2WgcACAAAAAAAAAAQ", branch_id="x")},
            "minted_by.branch_id",
        ),
        ({"branch": pb.BranchTarget(token_id="x", branch_id="A" * 22)}, "branch.token_id"),
        (subject(""), "subject.subject"),
        (subject("user:*"), "subject.subject"),
        (app("", "acme"), "app.app"),
        (app("*", "acme"), "app.app"),
        (app("web", ""), "app.org"),
        (app("web", "*"), "app.org"),
        (org(""), "org.org"),
        (org("*"), "org.org"),
        (org("broken", issued_before=Timestamp(nanos=1)), "org.issued_before"),
        (org("broken", issued_before=Timestamp(seconds=-1)), "org.issued_before"),
        (app("web", "broken", issued_before=Timestamp(nanos=1)), "app.issued_before"),
        (subject("user:x", issued_before=Timestamp(nanos=1)), "subject.issued_before"),
        (
            {
                "minted_by": pb.MintedByTarget(
                    token_id="AaMYW2WgcACAAAAAAAAAAQ", issued_before=Timestamp(nanos=1)
                )
            },
            "minted_by.issued_before",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_a_broken_target_is_refused_with_its_field(
    shared: Almond, target: dict[str, Any], field: str
) -> None:
    refused = await refusal(shared.revoke(**target))
    assert refused.code is INVALID_ARGUMENT
    assert refused.field == field


async def test_a_bulk_revocation_without_a_caller_is_unauthenticated(shared: Almond) -> None:
    for target in (subject("user:x"), org("acme"), app("shop", "acme")):
        refused = await refusal(shared.stub.Revoke(pb.RevokeRequest(**target)))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    broken = await refusal(shared.stub.Revoke(pb.RevokeRequest(**org("acme")), metadata=bearer("alm1_x")))
    assert broken.code is grpc.StatusCode.UNAUTHENTICATED
