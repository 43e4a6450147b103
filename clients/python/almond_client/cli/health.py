"""`almond health`: does the service serve? For people, probes and scripts. Exit codes: 0 yes, 3 no."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc

from almond_client.channel import open_channel
from almond_client.cli import options, screen
from almond_client.cli.failures import CANNOT_KNOW, Failure, explained
from almond_client.errors import error_of

_CHECK: Final = "/grpc.health.v1.Health/Check"
_SECONDS: Final = 2.0

# The two messages are this small, so the server's extra with their generated code is not needed for them:
# HealthCheckRequest{service: ""} is no bytes at all, HealthCheckResponse{status: SERVING} is field 1 = 1.
_WHOLE_SERVICE: Final = b""
_SERVING: Final = b"\x08\x01"


def health(address: options.Address = options.DEFAULT_ADDRESS) -> None:
    """Ask the service whether it can answer; waits 2 seconds at most. Exits with 0 if it can, else with 3."""
    with explained():
        if asyncio.run(_check(address)) != _SERVING:
            raise Failure(
                f"{address} is not serving: it starts, stops, or has lost touch with its store",
                "",
                CANNOT_KNOW,
            )
    screen.out().print("serving")


async def _check(address: str) -> bytes:
    async with open_channel(address) as channel:
        check = channel.unary_unary(_CHECK, request_serializer=bytes, response_deserializer=bytes)
        try:
            return bytes(await check(_WHOLE_SERVICE, timeout=_SECONDS))
        except grpc.aio.AioRpcError as failure:
            raise Failure.unreachable(address, error_of(failure)) from None
