"""The metrics of a real server, and what no metric may hold."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from almond.v1 import admin_service_pb2, admin_service_pb2_grpc, caveat_pb2, kind_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core.caveats import Org, Valid
from almond_core.masks import ALL
from almond_server.adapters.redis.client import client
from almond_server.domain import rotations, stores
from almond_server.rpc.call_metrics import _name
from almond_server.tokens.verify import Verifier
from support.exposition import Exposition, scrape
from support.orders import deploy, org_wide, verifier
from support.refusals import refusal
from support.service import Almond, bearer, on
from support.waiting import eventually
from support.watching import now, watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKENS = "almond.v1.TokenService"
Code = grpc.StatusCode


def call(method: str, service: str = TOKENS, kind: str = "unary") -> dict[str, str]:
    return {"grpc_type": kind, "grpc_service": service, "grpc_method": method}


@contextlib.asynccontextmanager
async def observed(service: Almond) -> AsyncIterator[None]:
    """Run the observer and the relay in the background."""
    tasks = [asyncio.create_task(each.run()) for each in (service.app.observer, service.app.relay)]
    try:
        yield
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def becomes(good: Any) -> Exposition:
    """Scrape until a condition on the result is true."""

    async def read() -> Exposition:
        return scrape()

    return await eventually(read, good)


@pytest.mark.parametrize(
    ("code", "written"),
    [
        (Code.OK, "OK"),
        (Code.CANCELLED, "Canceled"),
        (Code.INVALID_ARGUMENT, "InvalidArgument"),
        (Code.DEADLINE_EXCEEDED, "DeadlineExceeded"),
        (Code.UNAUTHENTICATED, "Unauthenticated"),
    ],
)
def test_codes_are_written_as_go_does(code: Code, written: str) -> None:
    assert _name(code) == written


@pytest.mark.asyncio(loop_scope="module")
async def test_a_call_is_counted_and_timed_by_method_and_code(shared: Almond) -> None:
    before = scrape()
    token = (await shared.mint(deploy())).token
    await shared.verify(token, on("acme", app="shop"))
    assert (await refusal(shared.verify(token, on("", "r")))).code is Code.INVALID_ARGUMENT
    after = scrape()
    assert after.since(before, "grpc_server_started_total", **call("Verify")) == 2
    assert after.since(before, "grpc_server_handled_total", **call("Verify"), grpc_code="OK") == 1
    refused = {**call("Verify"), "grpc_code": "InvalidArgument"}
    assert after.since(before, "grpc_server_handled_total", **refused) == 1
    assert after.since(before, "grpc_server_handling_seconds_count", **call("Verify")) == 2
    assert 0 < after.since(before, "grpc_server_handling_seconds_sum", **call("Verify")) < 60
    assert after.since(before, "almond_tokens_minted_total") == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_an_unforeseen_error_is_counted_as_internal_from_zero(
    shared: Almond, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await shared.mint(deploy())).token
    await shared.verify(token, on("acme"))
    internal = {**call("Verify"), "grpc_code": "Internal"}
    assert ("grpc_server_handled_total", frozenset(internal.items())) in scrape().series
    before = scrape()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Verifier, "verify", broken)
    assert (await refusal(shared.verify(token, on("acme")))).code is Code.INTERNAL
    assert scrape().since(before, "grpc_server_handled_total", **internal) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_methods_that_do_not_exist_share_one_series(shared: Almond) -> None:
    before, names = scrape(), [f"/evil.v1.Service/Method{number}" for number in range(20)]
    for name in [*names, f"/{TOKENS}/Verify2", "nonsense"]:
        with contextlib.suppress(grpc.aio.AioRpcError):
            unknown: Any = shared.channel.unary_unary(name)
            await unknown(b"")
    after = scrape()
    assert "evil" not in after.text
    assert "Verify2" not in after.text
    labels = call("unknown", "unknown")
    assert after.since(before, "grpc_server_started_total", **labels) >= 21
    counted = {**labels, "grpc_code": "Unimplemented"}
    assert after.since(before, "grpc_server_handled_total", **counted) >= 21


@pytest.mark.asyncio(loop_scope="module")
async def test_a_stream_counts_as_ended_when_its_caller_leaves(shared: Almond) -> None:
    before, watch = scrape(), call("Watch", "grpc.health.v1.Health", "server_stream")
    stub: Any = health_pb2_grpc.HealthStub(shared.channel)
    stream = stub.Watch(health_pb2.HealthCheckRequest())
    await stream.read()
    opened = scrape()
    assert opened.since(before, "grpc_server_started_total", **watch) == 1
    assert opened.since(before, "grpc_server_handling_seconds_count", **watch) == 0
    stream.cancel()
    counted = {**watch, "grpc_code": "Canceled"}
    await becomes(lambda read: read.since(before, "grpc_server_handled_total", **counted) == 1)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_deadline_that_passes_differs_from_a_caller_that_leaves(
    shared: Almond, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleeps(*_: object) -> None:
        await asyncio.sleep(60)

    token, before = (await shared.mint(deploy())).token, scrape()
    monkeypatch.setattr(type(shared.app.follower.waits), "until_revision", sleeps)
    revision = (await shared.verify(token, on("acme"))).revision
    request = pb.VerifyRequest(token=token, access=on("acme"), min_revision=revision)
    with pytest.raises(grpc.aio.AioRpcError):
        await shared.stub.Verify(request, metadata=bearer(shared.admin), timeout=0.1)
    passed = {**call("Verify"), "grpc_code": "DeadlineExceeded"}
    await becomes(lambda read: read.since(before, "grpc_server_handled_total", **passed) == 1)


@pytest.mark.asyncio(loop_scope="module")
async def test_answers_are_counted_by_outcome_and_first_reason(shared: Almond) -> None:
    token = (await shared.mint(deploy())).token
    before = scrape()
    await shared.verify(token, on("acme", app="shop"))
    await shared.verify(token, on("other", app="shop"))
    await shared.verify(token[:-8], on("acme"))
    questions = [
        pb.VerifyRequest(token=token, access=on("acme", app="shop")),
        pb.VerifyRequest(token=token, access=on("", "r")),
    ]
    await shared.stub.BatchVerify(pb.BatchVerifyRequest(requests=questions), metadata=bearer(shared.admin))
    after = scrape()
    assert after.since(before, "almond_decisions_total", outcome="allowed", reason="") == 2
    assert after.since(before, "almond_decisions_total", outcome="denied", reason="WRONG_ORG") == 1
    assert after.since(before, "almond_decisions_total", outcome="denied", reason="TRUNCATED") == 1
    assert after.since(before, "almond_batch_errors_total", grpc_code="InvalidArgument") == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_only_what_was_revoked_is_counted_as_revoked(shared: Almond) -> None:
    token_id = (await shared.mint(deploy())).record.id
    before = scrape()
    await shared.revoke(token_id=token_id, validate_only=True)
    assert scrape().since(before, "almond_revocations_total") == 0
    await shared.revoke(token_id=token_id)
    await shared.revoke(token_id=token_id)  # it is revoked already
    assert scrape().since(before, "almond_revocations_total") == 1


async def test_a_caller_whose_long_lived_token_ends_soon_is_counted_once(service: Almond) -> None:
    soon = Valid(None, int(time.time()) + 5 * 86_400)
    ending = [await service.signed_here(Org("acme", ALL), soon) for _ in range(2)]
    token = (await service.mint(deploy())).token
    for caller in (*ending, *ending, service.admin):
        await service.verify(token, on("acme", app="shop"), caller)
    # It is asked about, and calls nobody.
    await service.verify(await service.signed_here(Org("acme", ALL), soon), on("acme"))
    service.app.observer.copy()
    assert scrape().get("almond_expiring_callers") == 2


async def test_the_view_the_feed_and_the_relay_have_metrics(service: Almond) -> None:
    before = scrape()
    async with observed(service):
        token_id = (await service.mint(deploy())).record.id
        await service.revoke(token_id=token_id)
        read = await becomes(
            lambda read: read.get("almond_view_entries") == 1 and read.get("almond_relay_elected") == 1
        )
        assert read.get("almond_workers") == read.get("almond_fresh_workers") == 1
        assert read.since(before, "almond_worker_starts_total") == 1
        assert read.get("almond_view_revision") == 1
        assert 0 <= read.get("almond_view_age_seconds") < read.get("almond_max_staleness_seconds") == 5
        assert read.get("almond_view_bytes") > 0
        assert read.get("almond_view_alarm") == 0
        assert read.get("almond_feed_unreadable") == read.get("almond_feed_unwritable") == 0
        assert read.get("almond_feed_may_evict") == 0
        assert 0 <= read.get("almond_feed_heartbeat_age_seconds") < 60
        assert read.get("almond_relay_lag_revisions") == 0
        assert read.get("almond_observed_at_seconds") > 1_700_000_000
        assert read.since(before, "almond_caller_cache_misses_total") == 1
        assert read.since(before, "almond_caller_cache_hits_total") >= 1
        assert read.since(before, "almond_loop_lag_seconds_count") > 0
        assert len(read.named("almond_build_info")) == 1

        service.valkey.stop()
        await eventually(lambda: asyncio.sleep(0, service.app.feed.state), lambda state: not state.is_read)
        service.app.follower._view.raise_alarm("made up by a test")
        service.app.observer.copy()
        read = scrape()
        assert read.get("almond_feed_unreadable") == read.get("almond_view_alarm") == 1
        assert read.get("almond_fresh_workers") == 0


async def test_forged_entries_in_redis_are_counted(service: Almond) -> None:
    before = scrape()
    async with observed(service):
        redis = client(service.valkey.url)
        try:
            epoch = service.app.follower._view.revision.epoch
            forged: Any = {b"body": b"{}", b"proof": bytes(32)}
            await redis.xadd(f"{{almond}}:{epoch}:beats", forged)
            await eventually(lambda: asyncio.sleep(0, service.app.feed.state.rejected), bool)
        finally:
            await redis.aclose()
    service.app.observer.copy()
    assert scrape().since(before, "almond_feed_rejected_total") >= 1
    assert scrape().since(before, "almond_view_gaps_total") >= 1


async def test_store_operations_are_named_by_port_and_method(service: Almond) -> None:
    before = scrape()
    async with observed(service):
        await all_calls(service)
    after, name = scrape(), "almond_store_seconds_count"
    operations = {labels["operation"] for labels in after.named(name) if after.since(before, name, **labels)}
    named = {
        f"{port.__name__.lower()}.{method}"
        for port in (
            *(stores.Tokens, stores.Revocations, stores.Keys, stores.Policies, stores.Audit),
            rotations.Rotations,
        )
        for method in vars(port)
    }
    assert {"tokens.add", "tokens.get", "revocations.reading", "policies.rules"} <= operations
    # A batch of `revoke` and `revoke_selection`; and two methods that keep the names they were measured by.
    others = {"revocations.commit", "revocations.withdrawals", "tokens.places"}
    assert operations <= named | others


async def all_calls(service: Almond) -> list[str]:
    """Make every call that exists; returns the words of their requests, none of which a metric may hold."""
    stub, caller = service.stub, bearer(service.admin)
    metadata = (*caller, ("x-word", "wordinmetadata"))
    order = deploy("appsecret", "orgsecret", name="namesecret", request_id="requestsecret")
    minted = await stub.Mint(order, metadata=metadata)
    person = kind_pb2.PersonalKind(user="usersecret", orgs=["orgsecret"], role="admin")
    await service.mint(pb.MintRequest(kind=kind_pb2.Kind(personal=person)))
    caller_subject = (await service.mint(verifier("orgsecret", "subjectsecret"))).token
    access = on("orgsecret", app="appsecret")
    await service.verify(minted.token, access, caller_subject, explain=True)
    question = pb.VerifyRequest(token=minted.token, access=access)
    await stub.BatchVerify(pb.BatchVerifyRequest(requests=[question]), metadata=caller)
    label = caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="r"))
    derived = await stub.Attenuate(
        pb.AttenuateRequest(token=minted.token, caveats=[label], label="labelsecret", register=True),
        metadata=caller,
    )
    await stub.InspectToken(pb.InspectTokenRequest(token=derived.token), metadata=caller)
    await stub.GetToken(pb.GetTokenRequest(token_id=minted.record.id), metadata=caller)
    await stub.ListTokens(pb.ListTokensRequest(org="orgsecret", app="appsecret"), metadata=caller)
    async with watching(service, now(org="orgsecret"), caller_subject) as stream:
        await stream.heartbeat()
    rule = admin_service_pb2.OrgPolicy(org="orgsecret", kind="deploy", max_ttl=Duration(seconds=3600))
    admin = admin_service_pb2_grpc.AdminServiceStub(service.channel)
    for method, request in (
        ("SetOrgPolicy", admin_service_pb2.SetOrgPolicyRequest(policy=rule)),
        ("ListOrgPolicies", admin_service_pb2.ListOrgPoliciesRequest(org="orgsecret")),
        ("DeleteOrgPolicy", admin_service_pb2.DeleteOrgPolicyRequest(org="orgsecret", kind="deploy")),
    ):
        await getattr(admin, method)(request, metadata=caller)
    await service.revoke(token_id=minted.record.id, reason="reasonsecret")
    rotated = await service.mint(org_wide("orgsecret", name="namesecret", ttl=Duration(seconds=60)))
    rotation = pb.RotateTokenRequest(token_id=rotated.record.id, request_id="rotatesecret")
    successor = await stub.RotateToken(rotation, metadata=caller)
    health: Any = health_pb2_grpc.HealthStub(service.channel)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await health.Check(health_pb2.HealthCheckRequest(service="healthsecret"))
    channel: Any = service.channel
    reflect: Any = reflection_pb2_grpc.ServerReflectionStub
    reflection = reflect(channel)
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="symbolsecret")
    async for _ in reflection.ServerReflectionInfo(iter([asked]), metadata=caller):
        pass
    await refusal(service.mint(org_wide("orgsecret"), "alm1_" + "tokensecret" * 4))
    return [
        *(
            service.admin,
            minted.token,
            successor.token,
            derived.token,
            caller_subject,
            "alm1_",
            "secret",
            "wordinmetadata",
        ),
        *(minted.record.id, minted.branch_id, derived.branch_id, "127.0.0.1", str(service.data_dir)),
        service.address.rpartition(":")[2],
    ]


async def test_no_metric_holds_a_word_of_a_request_or_an_address(service: Almond) -> None:
    async with observed(service):
        words = await all_calls(service)
        service.app.observer.copy()
        read = scrape()
    methods = {each["grpc_method"] for each in read.named("grpc_server_started_total")}
    served = {method.name for method in pb.DESCRIPTOR.services_by_name["TokenService"].methods}
    served |= {each.name for each in admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].methods}
    served |= {"WatchRevocations"}
    assert served | {"Check", "ServerReflectionInfo"} <= methods
    texts = {name for name, _ in read.series}
    texts |= {each for _, labels in read.series for pair in labels for each in pair}
    assert not {(word, each) for word in words for each in texts if word in each}
