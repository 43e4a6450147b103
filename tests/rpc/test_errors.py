"""Every error of the service, caused over a channel, with its status and its machine-readable details."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from structlog.testing import capture_logs

from almond.v1 import caveat_pb2, kind_pb2, token_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from almond_core.model import token_id_at
from almond_server import errors
from almond_server.app import compose
from almond_server.data_dir import paths
from almond_server.ops.valkey_child import ValkeyChild
from almond_server.rpc import errors as table
from almond_server.rpc.admin_servicer import AdminServicer
from almond_server.rpc.health import Health
from almond_server.rpc.interceptor import MAX_BATCH_BYTES, MAX_REQUEST_BYTES
from almond_server.rpc.revocation_servicer import RevocationServicer
from almond_server.rpc.server import build
from almond_server.rpc.token_servicer import TokenServicer
from support.orders import deploy, org_wide, verifier
from support.refusals import Refusal, refusal
from support.service import Almond, almond, bearer, channel_to, on, served
from support.waiting import until

Code = grpc.StatusCode

SECRET = "alm1_" + "x" * 40


def has_details(refused: Refusal, code: grpc.StatusCode, reason: str, field: str | None = None) -> None:
    """Check code, reason, domain and field, and that no retry is advised."""
    assert (refused.code, refused.reason, refused.domain, refused.field) == (code, reason, "almond", field)
    assert (refused.retry_ms, refused.pushback_ms) == (None, None)
    assert refused.message.strip() == refused.message != ""


def has_retry(refused: Refusal, code: grpc.StatusCode, reason: str) -> None:
    """Check code, reason, domain, and that both retry fields advise the same time."""
    assert (refused.code, refused.reason, refused.domain, refused.field) == (code, reason, "almond", None)
    assert refused.retry_ms == refused.pushback_ms
    assert refused.retry_ms is not None
    assert 0 < refused.retry_ms <= 60_000


# Mistakes of the caller.


def _custom(*caveats: caveat_pb2.Caveat) -> pb.MintRequest:
    return pb.MintRequest(kind=kind_pb2.Kind(custom=kind_pb2.CustomKind(caveats=caveats)))


_OF_ACME = caveat_pb2.Caveat(org=caveat_pb2.OrgCaveat(id="acme", mask="*"))
_BROKEN = caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="q"))
_ID = token_id_at(1_700_000_000_000, bytes(10))

BROKEN_REQUESTS: list[tuple[str, Any, str]] = [
    ("Verify", pb.VerifyRequest(token="x"), "access.actions"),
    ("Verify", pb.VerifyRequest(token="x", access=on("", "r")), "access.org"),
    ("Verify", pb.VerifyRequest(token="x", access=on("*", "r")), "access.org"),
    ("Verify", pb.VerifyRequest(token="x", access=on("almond", "r")), "access.org"),
    ("Verify", pb.VerifyRequest(token="x", access=on("acme", "")), "access.actions"),
    ("Verify", pb.VerifyRequest(token="x", access=on("acme", "rx")), "access.actions"),
    ("Verify", pb.VerifyRequest(token="x", access=on("acme", app="")), "access.app"),
    ("Verify", pb.VerifyRequest(token="x", access=on("acme", machine="m")), "access.machine"),
    (
        "Verify",
        pb.VerifyRequest(token="x", access=on("acme", storage_object="/a/../b")),
        "access.storage_object",
    ),
    ("Verify", pb.VerifyRequest(token="x", access=on("acme", source={"app": ""})), "access.source.app"),
    ("Verify", pb.VerifyRequest(token="x", access=on("acme"), min_revision="7"), "min_revision"),
    ("BatchVerify", pb.BatchVerifyRequest(), "requests"),
    ("BatchVerify", pb.BatchVerifyRequest(requests=[pb.VerifyRequest()] * 501), "requests"),
    ("Mint", pb.MintRequest(org="acme"), "kind"),
    (
        "Mint",
        pb.MintRequest(kind=kind_pb2.Kind(service=kind_pb2.ServiceKind(name="s")), org="acme"),
        "kind.service.role",
    ),
    ("Mint", deploy(app=""), "app"),
    ("Mint", org_wide(""), "org"),
    ("Mint", org_wide("*"), "org"),
    ("Mint", org_wide(name="line\nbreak"), "name"),
    ("Mint", org_wide(name="x" * 129), "name"),
    ("Mint", org_wide(ttl=Duration(seconds=0)), "ttl"),
    ("Mint", org_wide(ttl=Duration(seconds=-5)), "ttl"),
    ("Mint", org_wide(ttl=Duration(seconds=1, nanos=5)), "ttl"),
    ("Mint", org_wide(request_id="x" * 65), "request_id"),
    ("Mint", _custom(_OF_ACME, _BROKEN), "kind.custom.caveats[1]"),
    ("Attenuate", pb.AttenuateRequest(token="x"), "caveats"),
    ("Attenuate", pb.AttenuateRequest(token="x", caveats=[_OF_ACME, caveat_pb2.Caveat()]), "caveats[1]"),
    ("Revoke", pb.RevokeRequest(), "target"),
    ("Revoke", pb.RevokeRequest(token_id="nonsense"), "token_id"),
    ("Revoke", pb.RevokeRequest(branch=pb.BranchTarget(token_id=_ID, branch_id="short")), "branch.branch_id"),
    ("Revoke", pb.RevokeRequest(token_id=_ID, reason="x" * 257), "reason"),
    ("Revoke", pb.RevokeRequest(token_id=_ID, request_id="é"), "request_id"),
    ("GetToken", pb.GetTokenRequest(token_id="nonsense"), "token_id"),
    ("ListTokens", pb.ListTokensRequest(), "org"),
    ("ListTokens", pb.ListTokensRequest(org="acme", app=""), "app"),
    ("ListTokens", pb.ListTokensRequest(org="acme", page_size=1001), "page_size"),
    ("ListTokens", pb.ListTokensRequest(org="acme", page_size=-1), "page_size"),
    ("ListTokens", pb.ListTokensRequest(org="acme", page_token="not one"), "page_token"),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("method", "request_", "field"), BROKEN_REQUESTS, ids=[f"{each[0]}-{each[2]}" for each in BROKEN_REQUESTS]
)
async def test_a_broken_field_is_named(shared: Almond, method: str, request_: Any, field: str) -> None:
    refused = await refusal(getattr(shared.stub, method)(request_, metadata=bearer(shared.admin)))
    has_details(refused, Code.INVALID_ARGUMENT, "FIELD_INVALID", field)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda _: "", "TOKEN_MISSING"),
        (lambda text: text[:-8], "TOKEN_TRUNCATED"),
        (lambda text: "fm2_" + text[5:], "TOKEN_FOREIGN"),
        (lambda text: text + "A" * 20_000, "TOKEN_TOO_LARGE"),
    ],
)
@pytest.mark.parametrize("method", ["Attenuate", "InspectToken", "Revoke"])
async def test_a_text_that_is_no_token_is_an_invalid_argument(
    shared: Almond, method: str, spoil: Any, reason: str
) -> None:
    token = spoil((await shared.mint(org_wide())).token)
    requests: dict[str, Any] = {
        "Attenuate": pb.AttenuateRequest(token=token, caveats=[_OF_ACME]),
        "InspectToken": pb.InspectTokenRequest(token=token),
        "Revoke": pb.RevokeRequest(token=token),
    }
    refused = await refusal(getattr(shared.stub, method)(requests[method]))
    has_details(refused, Code.INVALID_ARGUMENT, reason, "token")
    assert not token or token not in refused.message


@pytest.mark.asyncio(loop_scope="module")
async def test_a_request_id_with_another_content_is_an_invalid_argument(shared: Almond) -> None:
    await shared.mint(org_wide(request_id="errors-1"))
    refused = await refusal(shared.mint(org_wide("other", request_id="errors-1")))
    has_details(refused, Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


@pytest.mark.asyncio(loop_scope="module")
async def test_no_caller_is_unauthenticated(shared: Almond) -> None:
    refused = await refusal(shared.stub.Mint(org_wide()))
    has_details(refused, Code.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_caller_without_the_right_is_denied_and_the_error_names_it(shared: Almond) -> None:
    caller = (await shared.mint(deploy())).token
    refused = await refusal(shared.mint(org_wide(), caller))
    has_details(refused, Code.PERMISSION_DENIED, "CALLER_DENIED")
    assert '"c" on tokens of org acme' in refused.message


@pytest.mark.asyncio(loop_scope="module")
async def test_an_unknown_id_is_not_found(shared: Almond) -> None:
    metadata = bearer(shared.admin)
    has_details(
        await refusal(shared.stub.GetToken(pb.GetTokenRequest(token_id=_ID), metadata=metadata)),
        Code.NOT_FOUND,
        "TOKEN_NOT_FOUND",
    )
    has_details(await refusal(shared.revoke(token_id=_ID)), Code.NOT_FOUND, "TOKEN_NOT_FOUND")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_revision_of_another_store_is_a_failed_precondition(shared: Almond) -> None:
    refused = await refusal(shared.verify(shared.admin, on("acme"), min_revision="00000000.1"))
    has_details(refused, Code.FAILED_PRECONDITION, "REVISION_UNKNOWN")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_revision_above_the_stores_own_is_a_failed_precondition(shared: Almond) -> None:
    revision = (await shared.verify(shared.admin, on("acme"))).revision
    epoch, _, number = revision.partition(".")
    refused = await refusal(
        shared.verify(shared.admin, on("acme"), min_revision=f"{epoch}.{int(number) + 1}")
    )
    has_details(refused, Code.FAILED_PRECONDITION, "REVISION_UNKNOWN")


async def test_too_many_revocations_by_possession_are_exhausted_with_a_retry_time(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", presented_per_minute=2) as service:
        tokens = [(await service.mint(org_wide())).token for _ in range(3)]
        for token in tokens[:2]:
            await service.stub.Revoke(pb.RevokeRequest(token=token))
        refused = await refusal(service.stub.Revoke(pb.RevokeRequest(token=tokens[2])))
        has_retry(refused, Code.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert (await service.verify(tokens[2], on("acme"))).outcome
        revoked = pb.RevokeRequest(token=tokens[2])
        assert (await service.stub.Revoke(revoked, metadata=bearer(service.admin))).entries == 1


async def test_the_limit_holds_for_an_address_on_any_port(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", presented_per_minute=1) as service:
        tokens = [(await service.mint(org_wide())).token for _ in range(2)]
        await service.stub.Revoke(pb.RevokeRequest(token=tokens[0]))
        own_connection = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(service.address, options=own_connection) as channel:
            stub = token_service_pb2_grpc.TokenServiceStub(channel)
            refused = await refusal(stub.Revoke(pb.RevokeRequest(token=tokens[1])))
        assert refused.reason == "RATE_LIMITED"


# Faults of the service.


async def test_a_minter_revoked_elsewhere_is_unauthenticated_before_the_view_knows(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", poll_interval=20.0, max_staleness=30.0) as service:
        made = await service.mint(org_wide())
        async with other_server_without_feed(service) as other:
            assert (await other.mint(org_wide(), made.token)).token
            await service.revoke(token_id=made.record.id)
            refused = await refusal(other.mint(org_wide(), made.token))
            has_details(refused, Code.UNAUTHENTICATED, "MINTER_REVOKED")


@contextlib.asynccontextmanager
async def other_server_without_feed(service: Almond) -> AsyncIterator[Almond]:
    """Run a second server on the same store with a Valkey of its own, so that no feed reaches it."""
    with tempfile.TemporaryDirectory() as aside, ValkeyChild(Path(aside)) as valkey:
        async with almond_on(service, redis_url=valkey.url) as other:
            yield other


@contextlib.asynccontextmanager
async def almond_on(service: Almond, redis_url: str) -> AsyncIterator[Almond]:
    """Run a second server with the settings of the first and another feed."""
    settings = replace(service.settings, redis_url=redis_url)
    async with served(await compose(settings), settings, service.valkey) as other:
        yield other


async def test_a_stale_view_makes_every_answer_unavailable(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", max_staleness=0.3, poll_interval=0.05) as service:
        target = await service.mint(org_wide())
        await service.stop_following()
        await until(lambda: service.app.report().knowledge == "stale")
        metadata = bearer(service.admin)
        question = pb.VerifyRequest(token=target.token, access=on("acme"))
        calls: list[Awaitable[Any]] = [
            service.stub.Verify(question, metadata=metadata),
            service.stub.Verify(question),
            service.stub.Verify(pb.VerifyRequest(token="hello", access=on("acme"))),
            service.stub.BatchVerify(pb.BatchVerifyRequest(requests=[question]), metadata=metadata),
            service.mint(org_wide()),
            service.revoke(token_id=target.record.id),
            service.stub.GetToken(pb.GetTokenRequest(token_id=target.record.id), metadata=metadata),
            service.stub.ListTokens(pb.ListTokensRequest(org="acme"), metadata=metadata),
            service.stub.InspectToken(pb.InspectTokenRequest(token=target.token), metadata=metadata),
        ]
        for call in calls:
            has_retry(await refusal(call), Code.UNAVAILABLE, "CANNOT_KNOW")


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the write lock from another connection."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


async def test_a_locked_store_is_unavailable_and_nothing_was_changed(service: Almond) -> None:
    target = await service.mint(org_wide())
    with locked(paths.database(service.settings.data_dir)):
        has_retry(await refusal(service.mint(org_wide())), Code.UNAVAILABLE, "STORE_UNAVAILABLE")
        refused = await refusal(service.revoke(token_id=target.record.id))
        has_retry(refused, Code.UNAVAILABLE, "STORE_UNAVAILABLE")
    listing = pb.ListTokensRequest(org="acme", show_all=True)
    listed = await service.stub.ListTokens(listing, metadata=bearer(service.admin))
    assert list(listed.records) == [target.record]


class Bursting(TokenServicer):
    """Raises an unforeseen error, with a secret in its text."""

    def __init__(self) -> None:
        """Take nothing."""

    async def Verify(self, request: pb.VerifyRequest, context: Any) -> pb.VerifyResponse:  # noqa: N802
        raise ValueError(SECRET + request.token)


async def test_an_unforeseen_error_is_internal_with_a_fixed_text() -> None:
    unused: Any = None  # never called
    revocations = RevocationServicer(unused, "")
    server = build(Bursting(), AdminServicer(unused), revocations, Health(), lambda _: None)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    with capture_logs() as logged:
        async with channel_to(address) as channel:
            stub = token_service_pb2_grpc.TokenServiceStub(channel)
            refused = [await refusal(stub.Verify(pb.VerifyRequest(token="alm1_mine"))) for _ in range(2)]
    await server.stop(None)
    for each, line in zip(refused, logged, strict=True):
        has_details(each, Code.INTERNAL, "INTERNAL")
        fixed, _, request_id = each.message.rpartition(" ")
        assert fixed == "Something went wrong inside the service; it is in its log under this request id:"
        assert line["request_id"] == request_id != ""
        assert (line["event"], line["error"]) == ("call.failed", "ValueError")
        assert "test_errors.py" in line["at"]
        assert "alm1_" not in repr(line) + repr(each)
    assert refused[0].message != refused[1].message


# Sizes.


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "method", ["Mint", "Attenuate", "Verify", "Revoke", "InspectToken", "GetToken", "ListTokens"]
)
async def test_more_than_64_kib_is_refused_before_it_is_parsed(shared: Almond, method: str) -> None:
    refused = await refusal(raw_call(shared, method, b"\xff" * (MAX_REQUEST_BYTES + 1)))
    has_details(refused, Code.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")
    refused = await refusal(raw_call(shared, method, b"\xff" * MAX_REQUEST_BYTES))
    assert refused.reason == "REQUEST_UNPARSABLE"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "method",
    ["Mint", "Attenuate", "Verify", "BatchVerify", "Revoke", "InspectToken", "GetToken", "ListTokens"],
)
@pytest.mark.parametrize(
    "raw", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xc3\x28"], ids=["tag", "cut", "not utf-8"]
)
async def test_bytes_that_are_no_message_are_an_invalid_argument(
    shared: Almond, method: str, raw: bytes
) -> None:
    if raw == b"\x0a\x02\xc3\x28" and method in {"Mint", "BatchVerify"}:
        raw = b"\x0a\x04\x0a\x02\xc3\x28"  # their first field is a message
    refused = await refusal(raw_call(shared, method, raw))
    has_details(refused, Code.INVALID_ARGUMENT, "REQUEST_UNPARSABLE")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_batch_may_have_more_than_64_kib(shared: Almond) -> None:
    gate = (await shared.mint(verifier())).token
    padding = "x" * 2000
    question = pb.VerifyRequest(token=gate, access=on("acme", attributes={"note": padding}))
    batch = pb.BatchVerifyRequest(requests=[question] * 100)
    assert batch.ByteSize() > 3 * MAX_REQUEST_BYTES
    answer = await shared.stub.BatchVerify(batch, metadata=bearer(gate))
    assert len(answer.results) == 100


@pytest.mark.asyncio(loop_scope="module")
async def test_more_than_2_mib_is_refused(shared: Almond) -> None:
    for method in ("BatchVerify", "Verify"):
        refused = await refusal(raw_call(shared, method, b"\xff" * (MAX_BATCH_BYTES + 1)))
        assert refused.code is Code.RESOURCE_EXHAUSTED
    unparsable = await refusal(raw_call(shared, "BatchVerify", b"\xff" * MAX_BATCH_BYTES))
    assert unparsable.reason == "REQUEST_UNPARSABLE"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_method_that_does_not_exist_is_unimplemented(shared: Almond) -> None:
    assert (await refusal(raw_call(shared, "Grant", b""))).code is Code.UNIMPLEMENTED


def raw_call(service: Almond, method: str, raw: bytes) -> Any:
    call: Any = service.channel.unary_unary(f"/almond.v1.TokenService/{method}")
    return call(raw, metadata=bearer(service.admin))


# The table itself.


def test_every_error_of_the_service_has_a_row_in_the_table() -> None:
    refusals = [each for each in vars(errors).values() if _is_refusal(each, errors.RefusedError)]
    refusals += [each for each in vars(table).values() if _is_refusal(each, errors.RefusedError)]
    assert len(refusals) >= 10
    for each in refusals:
        rows = [code for kind, code in table._CODES if issubclass(each, kind)]
        assert len(rows) == 1, f"{each.__name__} stands in {len(rows)} rows"


def _is_refusal(each: object, base: type[Exception]) -> bool:
    return isinstance(each, type) and issubclass(each, base) and each is not base
