"""Every RPC refuses every sort of caller's token that does not permit it."""

from __future__ import annotations

import importlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

import almond.v1
from almond.v1 import admin_service_pb2, admin_service_pb2_grpc, caveat_pb2, decision_pb2, kind_pb2
from almond.v1 import token_service_pb2 as pb
from almond.v1.revocation_service_pb2 import FromNow, WatchRevocationsRequest
from almond.v1.revocation_service_pb2_grpc import RevocationServiceStub
from almond_core.caveats import Org, Valid
from almond_core.masks import ALL
from almond_core.model import ANY
from almond_server.rpc.health import SERVICE
from almond_server.rpc.server import REFLECTION_V1
from support.orders import deploy, minter, org_wide, readonly, revoker, verifier
from support.refusals import read_refusal, refusal
from support.service import Almond, Metadata, bearer, on, reflected, signed

pytestmark = pytest.mark.asyncio(loop_scope="module")

OK = grpc.StatusCode.OK
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT

NOT_ACCEPTED = (
    "garbage",
    "empty",
    "truncated",
    "foreign",
    "forged",
    "unknown key",
    "expired",
    "early",
    "revoked",
)
NOT_PERMITTED = ("of another org", "without the right")
READ_ONLY = caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="r"))


@dataclass(frozen=True)
class Row:
    """One way to call one RPC on a target in org acme, and its result.

    Callers whose token is not accepted at all are UNAUTHENTICATED everywhere, unless `ignores_caller`.
    """

    method: str
    ask: Callable[[pb.MintResponse], Any]
    without_a_token: grpc.StatusCode
    when_not_permitted: grpc.StatusCode
    ignores_caller: bool = False
    for_the_admin: grpc.StatusCode = OK

    def __str__(self) -> str:
        return self.method


_QUESTION = on("acme")
RULE = admin_service_pb2.SetOrgPolicyRequest(
    policy=admin_service_pb2.OrgPolicy(org="ruled", kind="deploy", max_ttl=Duration(seconds=60))
)
ROWS = (
    Row("Mint", lambda _: org_wide(), UNAUTHENTICATED, PERMISSION_DENIED),
    Row(
        "Attenuate",
        lambda its: pb.AttenuateRequest(token=its.token, caveats=[READ_ONLY]),
        OK,
        OK,
        ignores_caller=True,
    ),
    Row("Verify", lambda its: pb.VerifyRequest(token=its.token, access=_QUESTION), OK, PERMISSION_DENIED),
    Row(
        "Verify",
        lambda its: pb.VerifyRequest(token=f"{its.token},{its.token}", access=_QUESTION),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
    ),
    Row(
        "BatchVerify",
        lambda its: pb.BatchVerifyRequest(requests=[pb.VerifyRequest(token=its.token, access=_QUESTION)]),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
    ),
    Row("Revoke", lambda its: pb.RevokeRequest(token_id=its.record.id), UNAUTHENTICATED, PERMISSION_DENIED),
    Row(
        "Revoke",
        lambda its: pb.RevokeRequest(branch=pb.BranchTarget(token_id=its.record.id, branch_id=its.branch_id)),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
    ),
    Row("Revoke", lambda its: pb.RevokeRequest(token=its.token), OK, OK),
    Row(
        "RotateToken",
        lambda its: pb.RotateTokenRequest(token_id=its.record.id, take_back=True),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
        for_the_admin=grpc.StatusCode.FAILED_PRECONDITION,
    ),
    Row(
        "RotateToken",
        lambda its: pb.RotateTokenRequest(token_id=its.record.id),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
    ),
    Row("InspectToken", lambda its: pb.InspectTokenRequest(token=its.token), OK, OK),
    Row(
        "GetToken", lambda its: pb.GetTokenRequest(token_id=its.record.id), UNAUTHENTICATED, PERMISSION_DENIED
    ),
    Row("ListTokens", lambda _: pb.ListTokensRequest(org="acme"), UNAUTHENTICATED, PERMISSION_DENIED),
    Row(
        "Attenuate",
        lambda its: pb.AttenuateRequest(token=its.token, caveats=[READ_ONLY], register=True),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
    ),
    *(
        Row("Revoke", ask, UNAUTHENTICATED, PERMISSION_DENIED)
        for ask in (
            lambda its: pb.RevokeRequest(minted_by=pb.MintedByTarget(token_id=its.record.id)),
            lambda _: pb.RevokeRequest(subject=pb.SubjectTarget(subject="service:nobody")),
            lambda _: pb.RevokeRequest(app=pb.AppTarget(org="acme", app="none")),
            lambda _: pb.RevokeRequest(org=pb.OrgTarget(org="acme"), validate_only=True),
            lambda its: pb.RevokeRequest(token_id=its.record.id, validate_only=True),
        )
    ),
    Row(
        "WatchRevocations",
        lambda _: WatchRevocationsRequest(from_now=FromNow(), org="acme"),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
    ),
    Row(
        "WatchRevocations",
        lambda _: WatchRevocationsRequest(from_now=FromNow()),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
    ),
    Row("SetOrgPolicy", lambda _: RULE, UNAUTHENTICATED, PERMISSION_DENIED),
    Row(
        "DeleteOrgPolicy",
        lambda _: admin_service_pb2.DeleteOrgPolicyRequest(org="ruled", kind="ssh"),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
        for_the_admin=grpc.StatusCode.NOT_FOUND,
    ),
    Row(
        "ListOrgPolicies",
        lambda _: admin_service_pb2.ListOrgPoliciesRequest(),
        UNAUTHENTICATED,
        PERMISSION_DENIED,
    ),
)


@dataclass(frozen=True)
class Cast:
    """A service, and callers' tokens by their fault."""

    service: Almond
    texts: dict[str, str]

    async def call(self, row: Row, metadata: tuple[tuple[str, str], ...]) -> grpc.StatusCode:
        # Its successor must end before the admin does.
        target = await self.service.mint(org_wide(ttl=Duration(seconds=3600)))
        return await outcome(self.method(row)(row.ask(target), metadata=metadata))

    def method(self, row: Row) -> Callable[..., Awaitable[Any]]:
        """Return a method of any of the services; of a stream, a function that reads its first message."""
        if row.method == "WatchRevocations":
            return self._first
        admin = admin_service_pb2_grpc.AdminServiceStub(self.service.channel)
        found: Callable[..., Awaitable[Any]] = getattr(
            admin if hasattr(admin, row.method) else self.service.stub, row.method
        )
        return found

    async def _first(self, request: Any, metadata: Metadata) -> Any:
        stub = RevocationServiceStub(self.service.channel)
        call = stub.WatchRevocations(request, metadata=metadata)
        try:
            return await call.read()
        finally:
            call.cancel()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cast(shared: Almond) -> AsyncIterator[Cast]:
    good = (await shared.mint(org_wide())).token
    revoked = await shared.mint(org_wide())
    await shared.revoke(token_id=revoked.record.id)
    key_id = (await shared.stub.InspectToken(pb.InspectTokenRequest(token=good))).facts.key_id
    anything = Org(ANY, ALL)
    yield Cast(
        shared,
        {
            "garbage": "hello",
            "empty": "",
            "truncated": good[:-9],
            "foreign": "fm2_" + good[5:],
            "forged": signed(secrets.token_bytes(32), key_id, (anything,), "almond"),
            "unknown key": signed(secrets.token_bytes(32), "k00000000", (anything,), "almond"),
            "expired": await shared.signed_here(anything, Valid(None, 1_700_000_000)),
            "early": await shared.signed_here(anything, Valid(4_000_000_000, None)),
            "revoked": revoked.token,
            "of another org": (await shared.mint(org_wide("other"))).token,
            "without the right": (await shared.mint(deploy())).token,
        },
    )


async def outcome(call: Awaitable[Any]) -> grpc.StatusCode:
    """Return how a call ended; for a batch of one, how its only request ended."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    if isinstance(answer, pb.BatchVerifyResponse) and answer.results[0].HasField("error"):
        by_number = {code.value[0]: code for code in grpc.StatusCode}
        return by_number[answer.results[0].error.code]
    return OK


async def test_every_rpc_of_every_service_is_in_the_table() -> None:
    generated = Path(almond.v1.__file__).parent.glob("*_pb2.py")
    files = [importlib.import_module(f"almond.v1.{path.stem}").DESCRIPTOR for path in generated]
    services = [service for file in files for service in file.services_by_name.values()]
    assert {service.name for service in services} == {
        "TokenService",
        "AdminService",
        "RevocationService",
    }
    assert {row.method for row in ROWS} == {each.name for service in services for each in service.methods}


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_admin_may_make_every_call(cast: Cast, row: Row) -> None:
    assert await cast.call(row, bearer(cast.service.admin)) is row.for_the_admin


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_without_a_token_only_the_open_calls_are_answered(cast: Cast, row: Row) -> None:
    assert await cast.call(row, ()) is row.without_a_token


@pytest.mark.parametrize("sort", NOT_ACCEPTED)
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_token_that_is_not_accepted_is_unauthenticated(cast: Cast, row: Row, sort: str) -> None:
    expected = OK if row.ignores_caller else UNAUTHENTICATED
    assert await cast.call(row, bearer(cast.texts[sort])) is expected


@pytest.mark.parametrize("sort", NOT_PERMITTED)
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_genuine_token_without_the_right_is_denied(cast: Cast, row: Row, sort: str) -> None:
    assert await cast.call(row, bearer(cast.texts[sort])) is row.when_not_permitted


@pytest.mark.parametrize("row", [row for row in ROWS if not row.ignores_caller], ids=str)
async def test_two_authorization_entries_are_refused(cast: Cast, row: Row) -> None:
    assert await cast.call(row, bearer(cast.service.admin) * 2) is INVALID_ARGUMENT


async def test_the_refusal_of_two_entries_names_the_field(cast: Cast) -> None:
    call = cast.service.stub.ListTokens(
        pb.ListTokensRequest(org="acme"), metadata=bearer(cast.service.admin) * 2
    )
    assert (await refusal(call)).field == "authorization"


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Macaroon {}", "{}", " Bearer  {} "])
async def test_the_scheme_is_optional_and_either_of_two(cast: Cast, form: str) -> None:
    metadata = (("authorization", form.format(cast.service.admin)),)
    assert (await cast.service.stub.ListTokens(pb.ListTokensRequest(org="acme"), metadata=metadata)).records


@pytest.mark.parametrize("form", ["Basic {}", "Bearer Bearer {}", "FlyV1 {}", "Bearer"])
async def test_other_schemes_are_unauthenticated(cast: Cast, form: str) -> None:
    metadata = (("authorization", form.format(cast.service.admin)),)
    refused = await refusal(cast.service.stub.ListTokens(pb.ListTokensRequest(org="acme"), metadata=metadata))
    assert refused.code is UNAUTHENTICATED


async def test_of_several_tokens_the_first_that_permits_makes_the_call(cast: Cast) -> None:
    tokens = (cast.texts["forged"], cast.texts["without the right"], cast.service.admin)
    assert (await cast.service.mint(org_wide(), ",".join(tokens))).token


async def test_two_tokens_that_deny_alone_deny_together(cast: Cast) -> None:
    other_org, deploying = cast.texts["of another org"], cast.texts["without the right"]
    refused = await refusal(cast.service.mint(org_wide(), f"{other_org},{deploying}"))
    assert refused.code is PERMISSION_DENIED


async def test_no_error_repeats_a_callers_token(cast: Cast) -> None:
    for sort, text in cast.texts.items():
        refused = await refusal(cast.service.mint(org_wide(), text or "alm1_empty"))
        assert re.search(r"alm1_\w|fm2_\w|hello", refused.message) is None, sort


# Verify.


async def test_a_verifier_of_one_org_may_not_verify_for_another(cast: Cast) -> None:
    gate = (await cast.service.mint(verifier())).token
    token = (await cast.service.mint(org_wide("other"))).token
    assert (await cast.service.verify(token, on("acme"), gate)).outcome == decision_pb2.OUTCOME_DENIED
    assert (await refusal(cast.service.verify(token, on("other"), gate))).code is PERMISSION_DENIED


async def test_a_verifier_of_any_org_may_verify_for_every_org(cast: Cast) -> None:
    gate = (await cast.service.mint(verifier(org="*"))).token
    for org in ("acme", "other"):
        token = (await cast.service.mint(org_wide(org))).token
        assert (await cast.service.verify(token, on(org), gate)).outcome == decision_pb2.OUTCOME_ALLOWED


async def test_a_verifier_may_only_verify_for_its_org_and_watch_it(cast: Cast) -> None:
    gate = (await cast.service.mint(verifier())).token
    target = await cast.service.mint(org_wide())
    for row in ROWS:
        request = row.ask(target)
        is_its_own = row.method == "WatchRevocations" and request.org == "acme"
        if row.without_a_token is UNAUTHENTICATED and "Verify" not in row.method and not is_its_own:
            call = cast.method(row)(request, metadata=bearer(gate))
            assert (await refusal(call)).code is PERMISSION_DENIED, row.method


@pytest.mark.parametrize("caller", ["", "admin"])
async def test_no_caller_may_verify_for_the_reserved_org(cast: Cast, caller: str) -> None:
    request = pb.VerifyRequest(token=cast.service.admin, access=on("almond"))
    metadata = bearer(cast.service.admin) if caller else ()
    refused = await refusal(cast.service.stub.Verify(request, metadata=metadata))
    assert (refused.code, refused.field) == (INVALID_ARGUMENT, "access.org")


async def test_a_token_may_verify_itself_also_as_the_caller(cast: Cast) -> None:
    own = cast.texts["without the right"]
    answer = await cast.service.verify(f"Macaroon {own}", on("acme", "w", app="shop"), own)
    assert answer.outcome == decision_pb2.OUTCOME_ALLOWED


async def test_a_token_may_not_verify_its_own_descendant(cast: Cast) -> None:
    own = cast.texts["without the right"]
    narrowed = await cast.service.stub.Attenuate(pb.AttenuateRequest(token=own, caveats=[READ_ONLY]))
    refused = await refusal(cast.service.verify(narrowed.token, on("acme", app="shop"), own))
    assert refused.code is PERMISSION_DENIED


# Mint, and the tokens that are minted.


async def test_an_app_minter_mints_only_deploy_tokens_of_its_app(cast: Cast) -> None:
    ci = (await cast.service.mint(minter("shop"))).token
    minted = await cast.service.mint(deploy("shop"), ci)
    allowed = await cast.service.verify(minted.token, on("acme", "w", app="shop"))
    assert allowed.outcome == decision_pb2.OUTCOME_ALLOWED
    for order in (
        deploy("blog"),
        deploy("shop", "other"),
        org_wide(),
        readonly(),
        org_wide("other"),
        verifier(),
        revoker(),
        minter(),
        minter("shop"),
        minter("blog"),
    ):
        assert (await refusal(cast.service.mint(order, ci))).code is PERMISSION_DENIED, order


async def test_what_an_app_minter_mints_cannot_mint(cast: Cast) -> None:
    ci = (await cast.service.mint(minter("shop"))).token
    child = (await cast.service.mint(deploy("shop"), ci)).token
    for order in (deploy("shop"), org_wide()):
        assert (await refusal(cast.service.mint(order, child))).code is PERMISSION_DENIED


async def test_an_app_minter_mints_no_custom_token(cast: Cast) -> None:
    ci = (await cast.service.mint(minter("shop"))).token
    org = caveat_pb2.Caveat(org=caveat_pb2.OrgCaveat(id="acme", mask="*"))
    order = pb.MintRequest(kind=kind_pb2.Kind(custom=kind_pb2.CustomKind(caveats=[org])))
    assert (await refusal(cast.service.mint(order, ci))).code is PERMISSION_DENIED


async def test_only_callers_of_the_reserved_org_name_subjects(cast: Cast) -> None:
    holder = (await cast.service.mint(org_wide())).token
    for order in (verifier(), revoker(), minter(), minter("shop")):
        refused = await refusal(cast.service.mint(order, holder))
        assert refused.code is PERMISSION_DENIED
        assert "identities" in refused.message
        assert (await cast.service.mint(order)).record.subject.startswith("service:")


async def test_a_minted_token_starts_with_its_callers_caveats(cast: Cast) -> None:
    made = await cast.service.mint(org_wide(ttl={"seconds": 3600}))
    request = pb.AttenuateRequest(
        token=made.token, caveats=[caveat_pb2.Caveat(action=_mask("rc"))], label="ci"
    )
    caller = (await cast.service.stub.Attenuate(request)).token
    inherited = list((await cast.service.stub.InspectToken(pb.InspectTokenRequest(token=caller))).caveats)
    child = await cast.service.mint(deploy(), caller)
    assert list(child.record.caveats)[: len(inherited)] == inherited
    assert child.record.expire_time == made.record.expire_time
    written = await cast.service.verify(child.token, on("acme", "w", app="shop"))
    assert [denial.reason for denial in written.denials] == [decision_pb2.DENIAL_REASON_ACTION]


def _mask(mask: str) -> caveat_pb2.ActionCaveat:
    return caveat_pb2.ActionCaveat(mask=mask)


async def test_a_revoker_gets_lists_and_revokes_and_does_not_mint(cast: Cast) -> None:
    sweeper = (await cast.service.mint(revoker())).token
    target = (await cast.service.mint(org_wide())).record.id
    metadata = bearer(sweeper)
    assert (
        await cast.service.stub.GetToken(pb.GetTokenRequest(token_id=target), metadata=metadata)
    ).record.id
    assert (await cast.service.stub.ListTokens(pb.ListTokensRequest(org="acme"), metadata=metadata)).records
    assert (await cast.service.revoke(sweeper, token_id=target)).entries == 1
    assert (await refusal(cast.service.mint(org_wide(), sweeper))).code is PERMISSION_DENIED


async def test_an_org_token_does_not_reach_tokens_of_any_org(cast: Cast) -> None:
    holder = (await cast.service.mint(org_wide())).token
    metadata = bearer(holder)
    listing = cast.service.stub.ListTokens(pb.ListTokensRequest(org="almond"), metadata=metadata)
    assert (await refusal(listing)).code is PERMISSION_DENIED
    admin_id = (await cast.service.stub.InspectToken(pb.InspectTokenRequest(token=cast.service.admin))).facts
    assert (await refusal(cast.service.revoke(holder, token_id=admin_id.token_id))).code is PERMISSION_DENIED


async def test_inspect_answers_a_stranger_only_what_the_text_says(cast: Cast) -> None:
    target = await cast.service.mint(org_wide())
    request = pb.InspectTokenRequest(token=target.token)
    for metadata in ((), bearer(cast.texts["of another org"]), bearer(cast.texts["without the right"])):
        answer = await cast.service.stub.InspectToken(request, metadata=metadata)
        assert answer.facts.token_id == target.record.id
        assert answer.genuineness == pb.GENUINENESS_UNSPECIFIED
        assert not answer.HasField("revoked")
        assert not answer.HasField("record")
    answer = await cast.service.stub.InspectToken(request, metadata=bearer(cast.service.admin))
    assert answer.genuineness == pb.GENUINENESS_GENUINE
    assert (answer.revoked, answer.record) == (False, target.record)


# Reflection and health.


@pytest.mark.parametrize("service", [REFLECTION_V1, "grpc.reflection.v1alpha.ServerReflection"])
async def test_reflection_needs_a_caller_and_lists_the_services(cast: Cast, service: str) -> None:
    assert SERVICE in await reflected(cast.service.channel, service, bearer(cast.service.admin))
    assert SERVICE in await reflected(
        cast.service.channel, service, bearer((await cast.service.mint(verifier())).token)
    )
    for sort, code in [
        ("forged", UNAUTHENTICATED),
        ("revoked", UNAUTHENTICATED),
        ("without the right", PERMISSION_DENIED),
    ]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reflected(cast.service.channel, service, bearer(cast.texts[sort]))
        assert caught.value.code() is code
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reflected(cast.service.channel, service, ())
    assert read_refusal(caught.value).reason == "CALLER_UNAUTHENTICATED"


@pytest.mark.parametrize("name", ["", SERVICE, "live"])
async def test_health_needs_no_caller(cast: Cast, name: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(cast.service.channel)
    for metadata in ((), bearer("hello")):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), metadata=metadata)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
