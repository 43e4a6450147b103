"""`AsyncClient`: one method for each RPC, the caller's token, deadlines, retries and request ids."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from almond.v1 import access_pb2, caveat_pb2, decision_pb2, token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client import AlmondRpcError, AsyncClient, CannotKnowError, Deadlines, InternalError
from almond_core import base64url
from client.fake_service import FakeService, fails, gives
from client.samples import details

ACCESS = access_pb2.Access(org="acme", actions="r")


async def test_every_rpc_has_its_method(service: FakeService) -> None:
    async with AsyncClient(service.address) as client:
        await client.mint(pb.MintRequest())
        await client.attenuate(pb.AttenuateRequest())
        await client.verify(pb.VerifyRequest())
        await client.batch_verify(pb.BatchVerifyRequest())
        await client.revoke(pb.RevokeRequest())
        await client.inspect_token(pb.InspectTokenRequest())
        await client.rotate_token(pb.RotateTokenRequest())
        await client.get_token(pb.GetTokenRequest())
        await client.list_tokens(pb.ListTokensRequest())
    rpcs = pb.DESCRIPTOR.services_by_name["TokenService"].methods
    assert service.methods == [rpc.name for rpc in rpcs]


async def test_the_callers_token_goes_into_the_metadata(service: FakeService) -> None:
    async with AsyncClient(service.address, "alm1_mine") as client:
        await client.verify(pb.VerifyRequest())
    assert service.calls[0].metadata["authorization"] == "Bearer alm1_mine"


async def test_without_a_callers_token_no_authorization_is_sent(service: FakeService) -> None:
    async with AsyncClient(service.address) as client:
        await client.verify(pb.VerifyRequest())
    assert "authorization" not in service.calls[0].metadata


async def test_a_token_function_is_called_before_each_call(service: FakeService) -> None:
    tokens = iter(["alm1_old", "alm1_new"])
    async with AsyncClient(service.address, lambda: next(tokens)) as client:
        await client.verify(pb.VerifyRequest())
        await client.verify(pb.VerifyRequest())
    sent = [call.metadata["authorization"] for call in service.calls]
    assert sent == ["Bearer alm1_old", "Bearer alm1_new"]


@pytest.mark.parametrize("token", ["alm1_sec\nret", "alm1_sécret", "alm1_secret\x00"])
async def test_an_unsendable_token_is_refused_without_being_repeated(
    service: FakeService, token: str
) -> None:
    async with AsyncClient(service.address, token) as client:
        with pytest.raises(ValueError, match="characters that no token has") as refused:
            await client.verify(pb.VerifyRequest())
    assert "cret" not in repr(refused.value)
    assert service.calls == []


def test_the_token_is_not_in_the_clients_repr() -> None:
    assert "secret" not in repr(AsyncClient("127.0.0.1:1", "alm1_secret"))


@pytest.mark.parametrize(("outcome", "allowed"), [(0, False), (1, True), (2, False), (3, False), (99, False)])
async def test_only_the_outcome_allowed_is_allowed(service: FakeService, outcome: int, allowed: bool) -> None:
    service.answers["Verify"] = gives(_response(outcome))
    async with AsyncClient(service.address) as client:
        assert await client.is_allowed("alm1_x", ACCESS, min_revision="e.1") is allowed
    request = service.calls[0].request
    assert (request.token, request.access, request.min_revision) == ("alm1_x", ACCESS, "e.1")


def _response(outcome: int) -> pb.VerifyResponse:
    return pb.VerifyResponse.FromString(bytes([8, outcome]) if outcome else b"")


async def test_is_allowed_raises_when_the_service_cannot_answer(service: FakeService) -> None:
    service.answers["Verify"] = fails(grpc.StatusCode.UNAVAILABLE, "stale", details=details("CANNOT_KNOW"))
    async with AsyncClient(service.address) as client:
        with pytest.raises(CannotKnowError) as raised:
            await client.is_allowed("alm1_x", ACCESS)
    assert raised.value.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


@pytest.mark.parametrize("method", ["mint", "revoke", "rotate_token"])
async def test_a_request_id_is_filled_in_once_and_the_callers_message_left_alone(
    service: FakeService, method: str
) -> None:
    rpc = "".join(map(str.capitalize, method.split("_")))
    request: Any = getattr(pb, f"{rpc}Request")()
    service.answers[rpc] = gives(fails(grpc.StatusCode.UNAVAILABLE), getattr(pb, f"{rpc}Response")())
    async with AsyncClient(service.address) as client:
        await getattr(client, method)(request)
        await getattr(client, method)(request)
    first, again, second = (call.request.request_id for call in service.calls)
    # A retry is the same request, and a new call is another.
    assert first == again
    assert second != first
    assert len(first) == 36
    assert request.request_id == ""


@pytest.mark.parametrize("label", [None, caveat_pb2.LabelCaveat(text="mine")])
async def test_a_retry_registers_the_same_narrowed_token(
    service: FakeService, label: caveat_pb2.LabelCaveat | None
) -> None:
    action = caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="r"))
    given = [action] if label is None else [caveat_pb2.Caveat(label=label), action]
    request = pb.AttenuateRequest(token="alm1_x", caveats=given, label="ours", register=True)
    before = request.SerializeToString()
    service.answers["Attenuate"] = gives(fails(grpc.StatusCode.UNAVAILABLE), pb.AttenuateResponse())
    async with AsyncClient(service.address) as client:
        await client.attenuate(request)
        await client.attenuate(request)
    first, again, second = (call.request.caveats for call in service.calls)
    assert first == again
    assert second != first
    (sent,) = [each.label for each in first if each.HasField("label")]
    assert len(base64url.decode(sent.id)) == 16
    assert sent.text == ("ours" if label is None else "mine")
    assert request.SerializeToString() == before


async def test_nothing_is_added_to_what_is_not_registered_or_has_no_caveat(service: FakeService) -> None:
    action = caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="r"))
    requests = [pb.AttenuateRequest(caveats=[action]), pb.AttenuateRequest(label="a", register=True)]
    async with AsyncClient(service.address) as client:
        for request in requests:
            await client.attenuate(request)
    assert [call.request for call in service.calls] == requests


async def test_a_given_request_id_stays(service: FakeService) -> None:
    async with AsyncClient(service.address) as client:
        await client.mint(pb.MintRequest(request_id="mine"))
    assert service.calls[0].request.request_id == "mine"


async def test_unavailable_is_tried_again(service: FakeService) -> None:
    service.answers["Verify"] = gives(
        fails(grpc.StatusCode.UNAVAILABLE),
        fails(grpc.StatusCode.UNAVAILABLE),
        pb.VerifyResponse(outcome=decision_pb2.OUTCOME_ALLOWED),
    )
    async with AsyncClient(service.address) as client:
        assert await client.is_allowed("alm1_x", ACCESS, timeout_seconds=5)
    assert service.methods == ["Verify"] * 3


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED],
)
async def test_nothing_else_is_tried_again(service: FakeService, code: grpc.StatusCode) -> None:
    service.answers["Verify"] = fails(code)
    async with AsyncClient(service.address) as client:
        with pytest.raises(AlmondRpcError):
            await client.verify(pb.VerifyRequest())
    assert service.methods == ["Verify"]


async def test_the_services_pushback_says_when_to_try_again(service: FakeService) -> None:
    service.answers["Verify"] = gives(
        fails(grpc.StatusCode.UNAVAILABLE, pushback_ms=400), pb.VerifyResponse()
    )
    started = time.monotonic()
    async with AsyncClient(service.address) as client:
        await client.verify(pb.VerifyRequest(), timeout_seconds=5)
    assert time.monotonic() - started >= 0.4
    assert service.methods == ["Verify"] * 2


async def test_a_pushback_that_forbids_retries_is_obeyed(service: FakeService) -> None:
    service.answers["Verify"] = fails(grpc.StatusCode.UNAVAILABLE, pushback_ms=-1)
    async with AsyncClient(service.address) as client:
        with pytest.raises(CannotKnowError):
            await client.verify(pb.VerifyRequest(), timeout_seconds=5)
    assert service.methods == ["Verify"]


async def test_a_deadline_that_passes_is_cannot_know(service: FakeService) -> None:
    service.answers["GetToken"] = lambda _, __: time.sleep(1)
    deadlines = Deadlines(others=0.1)
    async with AsyncClient(service.address, deadlines=deadlines) as client:
        with pytest.raises(CannotKnowError) as raised:
            await client.get_token(pb.GetTokenRequest())
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_can_have_its_own_deadline(service: FakeService) -> None:
    service.answers["Verify"] = lambda _, __: time.sleep(1)
    async with AsyncClient(service.address) as client:
        started = time.monotonic()
        with pytest.raises(CannotKnowError):
            await client.verify(pb.VerifyRequest(), timeout_seconds=0.1)
    assert time.monotonic() - started < 0.9


async def test_cancelling_a_call_cancels_it(service: FakeService) -> None:
    service.answers["Verify"] = lambda _, __: time.sleep(0.5)
    async with AsyncClient(service.address) as client:
        call = asyncio.ensure_future(client.verify(pb.VerifyRequest()))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_service_that_does_not_answer_is_cannot_know() -> None:
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(CannotKnowError) as raised:
            await client.verify(pb.VerifyRequest())
    # The error did not come from the service.
    assert raised.value.reason == ""


async def test_all_pages_are_read_in_order(service: FakeService) -> None:
    pages = [
        pb.ListTokensResponse(records=[token_pb2.TokenRecord(id="a")], next_page_token="1"),
        # An empty page is not the last.
        pb.ListTokensResponse(records=[], next_page_token="2"),
        pb.ListTokensResponse(records=[token_pb2.TokenRecord(id="b"), token_pb2.TokenRecord(id="c")]),
    ]
    service.answers["ListTokens"] = gives(*pages)
    request = pb.ListTokensRequest(org="acme", page_size=2)
    async with AsyncClient(service.address) as client:
        assert [record.id async for record in client.records(request)] == ["a", "b", "c"]
    assert [call.request.page_token for call in service.calls] == ["", "1", "2"]
    assert {call.request.org for call in service.calls} == {"acme"}
    assert request.page_token == ""


async def test_a_client_is_open_only_inside_its_block(service: FakeService) -> None:
    client = AsyncClient(service.address)
    with pytest.raises(RuntimeError, match="async with"):
        await client.verify(pb.VerifyRequest())
    async with client:
        await client.verify(pb.VerifyRequest())
    await client.close()
    with pytest.raises(RuntimeError, match="async with"):
        await client.verify(pb.VerifyRequest())


async def test_a_unix_socket_is_an_address_too() -> None:
    async with AsyncClient("unix:/nowhere/almond.sock") as client:
        with pytest.raises(CannotKnowError):
            await client.verify(pb.VerifyRequest())


async def test_a_handler_that_breaks_is_an_internal_error(service: FakeService) -> None:
    service.answers["Verify"] = lambda _, __: 1 / 0
    async with AsyncClient(service.address) as client:
        with pytest.raises(InternalError):
            await client.verify(pb.VerifyRequest())
