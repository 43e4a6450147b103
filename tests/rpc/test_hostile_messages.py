"""Hostile messages are refused cheaply, with an error of the service, and do not affect other calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from pymacaroons.serializers.binary_serializer import BinarySerializer

from almond.v1 import access_pb2, caveat_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core import caveats, minting, wire
from almond_core.caveats.verdict import MAX_WORDS
from almond_core.errors import Reason, TokenError
from support.orders import deploy, org_wide
from support.refusals import refusal
from support.service import Almond, almond, bearer, on

pytestmark = pytest.mark.asyncio(loop_scope="module")

Code = grpc.StatusCode


async def test_a_compressed_message_is_not_inflated(shared: Almond) -> None:
    bomb = b"\x00" * 50_000_000
    call: Any = shared.channel.unary_unary("/almond.v1.TokenService/Verify")
    refused = await refusal(call(bomb, compression=grpc.Compression.Gzip))
    assert refused.code is Code.UNIMPLEMENTED


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_garbage_for_health_is_refused_with_an_error_of_the_service(
    shared: Almond, method: str
) -> None:
    path = f"/grpc.health.v1.Health/{method}"
    if method == "Watch":
        stream: Any = shared.channel.unary_stream(path)
        refused = await refusal(stream(b"\xff\xff").read())
    else:
        unary: Any = shared.channel.unary_unary(path)
        refused = await refusal(unary(b"\xff\xff"))
    assert (refused.code, refused.reason) == (Code.INVALID_ARGUMENT, "REQUEST_UNPARSABLE")


async def test_garbage_for_reflection_is_refused_with_an_error_of_the_service(shared: Almond) -> None:
    ask: Any = shared.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    call = ask(iter([b"\xff\xff"]), metadata=bearer(shared.admin))
    assert (await refusal(call.read())).reason == "REQUEST_UNPARSABLE"


async def test_health_of_an_unknown_service_is_not_found(shared: Almond) -> None:
    check: Any = shared.channel.unary_unary("/grpc.health.v1.Health/Check")
    request = health_pb2.HealthCheckRequest(service="unknown").SerializeToString()
    assert (await refusal(check(request))).code is Code.NOT_FOUND


async def test_an_error_quotes_at_most_a_bounded_part_of_the_request(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    many = [caveats.parse(["commands", [["exact", "x"]]])]
    many += [caveats.parse(["any_of", [[["commands", [["exact", "y"]]]]] * 30])] * 2
    token = minting.attenuate(made.token, many).text
    access = on("acme", "C", app="shop", machine="m1")
    access.command.CopyFrom(access_pb2.Command(argv=["w" * 4000] * 12))
    answer = await shared.verify(token, access, explain=True)
    for denial in answer.denials:
        assert max(len(denial.sentence), len(denial.wanted), len(denial.allowed)) <= MAX_WORDS
    assert answer.ByteSize() < 40_000


@pytest.mark.parametrize("method", ["Mint", "Attenuate"])
async def test_more_caveats_than_a_token_holds_are_refused_at_once(shared: Almond, method: str) -> None:
    many = [caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="r"))] * 65
    made = await shared.mint(org_wide())
    if method == "Mint":
        order = pb.MintRequest()
        order.kind.custom.caveats.extend(many)
        refused = await refusal(shared.mint(order))
    else:
        refused = await refusal(shared.stub.Attenuate(pb.AttenuateRequest(token=made.token, caveats=many)))
    assert (refused.code, refused.reason) == (Code.INVALID_ARGUMENT, "FIELD_INVALID")
    assert "at most 64" in refused.message


async def test_a_page_ends_before_it_is_too_big_and_the_next_continues(shared: Almond) -> None:
    apps = caveat_pb2.Caveat(apps=caveat_pb2.IdSetCaveat(masks={f"application-{n}": "*" for n in range(100)}))
    org = caveat_pb2.Caveat(org=caveat_pb2.OrgCaveat(id="big", mask="*"))
    order = pb.MintRequest()
    order.kind.custom.caveats.extend([org, apps])
    made = {each.record.id for each in await asyncio.gather(*(shared.mint(order) for _ in range(300)))}
    request, seen, pages = pb.ListTokensRequest(org="big", page_size=1000), [], 0
    while True:
        page = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
        assert page.ByteSize() < 1_200_000
        seen += [each.id for each in page.records]
        pages += 1
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert pages > 1
    assert (len(seen), set(seen)) == (300, made)


async def test_a_third_party_location_that_no_library_reads_is_malformed(shared: Almond) -> None:
    made = await shared.mint(deploy())
    macaroon = BinarySerializer().deserialize_raw(wire.binary_of(made.token))
    macaroon.add_third_party_caveat("elsewhere", b"k" * 32, "an id")
    binary = BinarySerializer().serialize_raw(macaroon).replace(b"elsewhere", b"\xff" * 9)
    text = wire.encode(binary)
    with pytest.raises(TokenError) as caught:
        wire.decode(text)
    assert caught.value.reason is Reason.MALFORMED
    refused = await refusal(shared.stub.InspectToken(pb.InspectTokenRequest(token=text)))
    assert refused.code is Code.INVALID_ARGUMENT


async def test_a_third_partys_bytes_are_not_read_as_a_grant(shared: Almond) -> None:
    made = await shared.mint(deploy())
    macaroon = BinarySerializer().deserialize_raw(wire.binary_of(made.token))
    macaroon.add_third_party_caveat("elsewhere", b"k" * 32, '["org","evil","*"]')
    answer = await shared.stub.InspectToken(
        pb.InspectTokenRequest(token=wire.encode(BinarySerializer().serialize_raw(macaroon)))
    )
    assert "evil" not in answer.summary
    assert answer.summary.endswith("a third-party restriction, which denies everything")


async def test_the_order_of_the_callers_tokens_does_not_matter_to_mint(shared: Almond) -> None:
    other, mine = (await shared.mint(org_wide("other"))).token, (await shared.mint(org_wide())).token
    order = pb.MintRequest()
    order.kind.custom.caveats.add(org=caveat_pb2.OrgCaveat(id="acme", mask="*"))
    for callers in (f"{mine},{other}", f"{other},{mine}"):
        assert (await shared.mint(order, callers)).record.org == "acme"


async def test_revoking_by_possession_is_limited_also_with_a_caller(tmp_path: Path) -> None:
    async with almond(tmp_path, presented_per_minute=3) as service:
        made = await service.mint(org_wide())
        metadata, ends = bearer(made.token), range(4_000_000_000, 4_000_000_005)
        children = [minting.attenuate(made.token, [caveats.parse(["valid", None, end])]).text for end in ends]
        for child in children[:3]:
            for entries in (1, 0, 0):  # what writes nothing is not counted
                answer = await service.stub.Revoke(pb.RevokeRequest(token=child), metadata=metadata)
                assert answer.entries == entries
        for child in children[3:]:
            refused = await refusal(service.stub.Revoke(pb.RevokeRequest(token=child), metadata=metadata))
            assert refused.code is Code.RESOURCE_EXHAUSTED
