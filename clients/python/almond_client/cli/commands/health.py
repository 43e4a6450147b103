"""`almond health`: is the service healthy? For people, probes and scripts. Exit codes: 0 yes, 3 no."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from almond_client.channel import open_channel
from almond_client.cli.arguments import options
from almond_client.cli.connection import check_address
from almond_client.cli.exit_codes import CANNOT_KNOW
from almond_client.cli.output import console
from almond_client.cli.output.failures import Failure, explained
from almond_client.errors import error_of

_SECONDS: Final = 2.0
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_DETAIL: Final = "almond-health-detail"
_WHY: Final = {
    "": "it is starting or stopping, or cannot reach its store",
    "live": "it is stopping",
}

Part = Annotated[
    str,
    typer.Option(
        "--of",
        metavar="PART",
        help="What to check: `feed` (is Redis healthy; for alerts) or `live` (is the process running)."
        " By default: can the service answer requests.",
    ),
]


def health(address: options.Address = options.DEFAULT_ADDRESS, part: Part = "") -> None:
    """Ask the service whether it can answer; wait at most 2 seconds. Exits with 0 if it can, else with 3."""
    with explained():
        check_address(address)
        if part not in {"", "feed", "live"}:
            raise typer.BadParameter("give feed or live", param_hint="--of")
        status, detail = asyncio.run(_check(address, part))
        if status != _SERVING:
            of = f"the {part} of {address}" if part else address
            raise Failure(
                f"{of} is not serving: {detail or _WHY.get(part, 'no reason given')}", "", CANNOT_KNOW
            )
    console.out().print("serving")


async def _check(address: str, part: str) -> tuple[int, str]:
    async with open_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        call = stub.Check(health_pb2.HealthCheckRequest(service=part), timeout=_SECONDS)
        try:
            response = await call
            trailers = await call.trailing_metadata()
        except grpc.aio.AioRpcError as failure:
            raise Failure.unreachable(address, error_of(failure)) from None
        details = [str(value) for name, value in trailers or () if name == _DETAIL]
        return response.status, "".join(details)
