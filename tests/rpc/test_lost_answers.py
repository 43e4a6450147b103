"""The client repeats a call whose answer was lost, and the service has done it once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest

from almond.v1 import token_service_pb2 as pb
from almond_client import AsyncClient
from almond_client.channel import SERVICE
from support.caveats import actions
from support.orders import deploy
from support.service import Almond, bearer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Losing(grpc.GenericRpcHandler):
    """Passes Attenuate on to a service, and loses its first answer."""

    def __init__(self, service: Almond) -> None:
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = service.channel.unary_unary(
            f"/{SERVICE}/Attenuate"
        )
        self.answers: list[bytes] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        assert details.method == f"/{SERVICE}/Attenuate"

        async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            metadata = [pair for pair in context.invocation_metadata() or () if pair[0] == "authorization"]
            self.answers.append(await self._call(request, metadata=metadata))
            if len(self.answers) == 1:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was lost")
            return self.answers[-1]

        return grpc.unary_unary_rpc_method_handler(answer)


@contextlib.asynccontextmanager
async def losing(service: Almond) -> AsyncIterator[tuple[str, Losing]]:
    handler, server = Losing(service), grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield address, handler
    finally:
        await server.stop(None)


async def test_a_registered_attenuation_whose_answer_was_lost_leaves_one_record(shared: Almond) -> None:
    parent = await shared.mint(deploy(org="lossy"))
    async with losing(shared) as (address, handler), AsyncClient(address, shared.admin) as client:
        narrowed = await client.attenuate(
            pb.AttenuateRequest(token=parent.token, caveats=[actions("r")], label="once", register=True)
        )
    assert len(handler.answers) == 2
    assert handler.answers[0] == handler.answers[1] == narrowed.SerializeToString()
    request = pb.ListTokensRequest(org="lossy")
    listed = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
    assert [each.id for each in listed.records] == [
        f"{parent.record.id}/{narrowed.branch_id}",
        parent.record.id,
    ]
    assert listed.records[0].name == "once"
