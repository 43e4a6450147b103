"""`almond health`: is the service healthy? For people, probes and scripts. Exit codes: 0 yes, 3 no."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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
_SERVING: Final = "SERVING"
_UNREACHABLE: Final = "UNREACHABLE"
_STATUSES: Final = {number: name for name, number in health_pb2.HealthCheckResponse.ServingStatus.items()}
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


def health(
    address: options.Address = options.DEFAULT_ADDRESS, part: Part = "", as_json: options.AsJson = False
) -> None:
    """Ask the service whether it can answer; wait at most 2 seconds. Exits with 0 if it can, else with 3."""
    with explained():
        check_address(address)
        if part not in {"", "feed", "live"}:
            raise typer.BadParameter("give feed or live", param_hint="--of")
        found = asyncio.run(_check(address, part))
        if as_json:
            console.print_json(found.as_json())
        elif found.is_serving:
            console.out().print("serving")
        else:
            raise Failure(found.reason, found.hint, CANNOT_KNOW)
    if not found.is_serving:
        raise typer.Exit(CANNOT_KNOW)


@dataclass(frozen=True, slots=True)
class _Found:
    """The health of a part of the service, and where it was asked; `reason` is empty while it serves."""

    address: str
    part: str
    status: str
    reason: str = ""
    hint: str = ""

    @property
    def is_serving(self) -> bool:
        return self.status == _SERVING

    def as_json(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "of": self.part or "service",
            "serving": self.is_serving,
            "status": self.status,
            "reason": self.reason or None,
        }


async def _check(address: str, part: str) -> _Found:
    async with open_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        call = stub.Check(health_pb2.HealthCheckRequest(service=part), timeout=_SECONDS)
        try:
            response = await call
            trailers = await call.trailing_metadata()
        except grpc.aio.AioRpcError as error:
            failure = Failure.unreachable(address, error_of(error))
            return _Found(address, part, _UNREACHABLE, failure.sentence, failure.hint)
    status = _STATUSES.get(response.status, "UNKNOWN")
    if status == _SERVING:
        return _Found(address, part, status)
    detail = "".join(str(value) for name, value in trailers or () if name == _DETAIL)
    of = f"the {part} of {address}" if part else address
    reason = f"{of} is not serving: {detail or _WHY.get(part, 'no reason given')}"
    return _Found(address, part, status, reason)
