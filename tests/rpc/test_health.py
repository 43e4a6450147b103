"""The health service over a real channel: what it answers, and that watchers do not affect each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc

from almond.v1 import decision_pb2
from almond_server.rpc.health import DETAIL, FEED, LIVE, SERVICE, Health
from almond_server.rpc.interceptor import Edge
from support.orders import org_wide
from support.refusals import refusal
from support.service import Almond, channel_to, on
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="function")

Response = health_pb2.HealthCheckResponse


@pytest_asyncio.fixture(loop_scope="function")
async def served() -> AsyncIterator[tuple[Health, Any]]:
    health = Health()
    server = grpc.aio.server(interceptors=[Edge(lambda _: None)])
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with channel_to(address) as channel:
        yield health, health_pb2_grpc.HealthStub(channel)
    await server.stop(None)


def _request(name: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=name)


async def _check(stub: Any, name: str) -> int:
    return int((await stub.Check(_request(name))).status)


@pytest.mark.parametrize("name", ["", SERVICE])
async def test_it_follows_what_is_set_until_it_leaves(served: tuple[Health, Any], name: str) -> None:
    health, stub = served
    assert await _check(stub, name) == Response.NOT_SERVING
    for serving, status in ((True, Response.SERVING), (False, Response.NOT_SERVING)):
        health.set(serving=serving)
        assert await _check(stub, name) == status
    health.set(serving=True)
    health.leave()
    health.set(serving=True)
    assert await _check(stub, name) == Response.NOT_SERVING
    assert await _check(stub, LIVE) == Response.SERVING


async def _check_feed(stub: Any) -> tuple[int, str | None]:
    call = stub.Check(_request(FEED))
    status = int((await call).status)
    return status, dict(tuple(await call.trailing_metadata())).get(DETAIL)


async def test_the_feed_has_a_health_of_its_own_with_a_reason(served: tuple[Health, Any]) -> None:
    health, stub = served
    assert (await _check_feed(stub))[0] == Response.NOT_SERVING
    watch = stub.Watch(_request(FEED))
    assert (await watch.read()).status == Response.NOT_SERVING
    for serving in (True, False):
        health.set(serving=serving)
        for problem, status in ((None, Response.SERVING), ("it may drop keys", Response.NOT_SERVING)):
            health.set_feed(problem)
            assert await _check_feed(stub) == (status, problem)
            assert (await watch.read()).status == status
            others = [await _check(stub, name) for name in ("", SERVICE)]
            assert others == [Response.SERVING if serving else Response.NOT_SERVING] * 2
            assert await _check(stub, LIVE) == Response.SERVING


async def test_the_health_of_the_feed_follows_redis(service: Almond) -> None:
    stub: Any = health_pb2_grpc.HealthStub(service.channel)

    async def check() -> tuple[int, str | None]:
        return await _check_feed(stub)

    async def becomes(status: int, word: str) -> None:
        await eventually(check, lambda health: health[0] == status and word in (health[1] or ""))
        assert await _check(stub, "") == Response.SERVING

    await becomes(Response.SERVING, "")
    with redis.Redis.from_url(service.valkey.url) as direct:
        admin: Any = direct
        admin.config_set("maxmemory-policy", "allkeys-lfu")
        await becomes(Response.NOT_SERVING, "allkeys-lfu")
        admin.config_set("maxmemory-policy", "noeviction")
        await becomes(Response.SERVING, "")
    service.valkey.stop()
    await becomes(Response.NOT_SERVING, "does not answer")
    token = (await service.mint(org_wide())).token
    assert (await service.verify(token, on("acme"))).outcome == decision_pb2.OUTCOME_ALLOWED


async def test_an_unknown_name_is_not_found_and_can_be_watched(served: tuple[Health, Any]) -> None:
    _, stub = served
    refused = await refusal(stub.Check(_request("unknown")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "SERVICE_UNKNOWN")
    watch = stub.Watch(_request("unknown"))
    assert (await watch.read()).status == Response.SERVICE_UNKNOWN
    watch.cancel()


async def test_watchers_get_every_change_whatever_other_watchers_do(
    served: tuple[Health, Any],
) -> None:
    health, stub = served
    watches = [stub.Watch(_request(name)) for name in ("", "", SERVICE)]
    unread = stub.Watch(_request(""))
    assert [(await watch.read()).status for watch in watches] == [Response.NOT_SERVING] * 3
    watches.pop(0).cancel()
    for step in range(20):
        health.set(serving=step % 2 == 0)
        expected = Response.SERVING if step % 2 == 0 else Response.NOT_SERVING
        assert [(await watch.read()).status for watch in watches] == [expected] * 2
    unread.cancel()
