"""Measures how long after its acknowledgement another server denies a revocation, with and without Valkey.

Two `almond serve` run on one store and one Valkey, on this machine. From the acknowledgement on, the client
calls Verify again and again until it denies. So no figure can be below the time of one Verify, which is in
the table too.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import redis.asyncio
from rich.console import Console
from rich.table import Table

from almond.v1 import decision_pb2, token_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from almond_server.ops.valkey_child import ValkeyChild
from e2e.service import ServeProgram, run
from support.orders import deploy
from support.postgres import PostgresServer
from support.service import bearer, on

_WITH_VALKEY = 500
_WITHOUT_VALKEY = 60
_POLL_SECONDS = 0.5
_ACCESS = on("acme", "w", app="web")


class Client:
    """A client that mints and revokes at one server, and verifies at the other."""

    def __init__(self, one_channel: grpc.aio.Channel, other_channel: grpc.aio.Channel, admin: str) -> None:
        self._one = token_service_pb2_grpc.TokenServiceStub(one_channel)
        self._other = token_service_pb2_grpc.TokenServiceStub(other_channel)
        self._admin = bearer(admin)

    async def mint(self) -> str:
        return str((await self._one.Mint(deploy("web"), metadata=self._admin)).token)

    async def revoke(self, token: str) -> None:
        await self._one.Revoke(pb.RevokeRequest(token=token), metadata=self._admin)

    async def is_denied(self, token: str) -> bool:
        answer = await self._other.Verify(pb.VerifyRequest(token=token, access=_ACCESS), metadata=self._admin)
        return bool(answer.outcome == decision_pb2.OUTCOME_DENIED)

    async def until_denied(self, within: float = 0) -> float:
        """Return the seconds from the acknowledgement to the end of the first Verify that denies.

        The token is revoked at a random moment `within` so many seconds, or always right after a poll.
        """
        token = await self.mint()
        await asyncio.sleep(random.uniform(0, within))
        assert not await self.is_denied(token)
        await self.revoke(token)
        acknowledged = time.perf_counter()
        while not await self.is_denied(token):
            pass
        return time.perf_counter() - acknowledged


async def measure(store: str, directory: Path, environment: dict[str, str], out: Console) -> None:
    """Print one table for one store."""
    table = Table(
        "ms", "p50", "p99", "max", "n", title=f"{store}: from the acknowledgement to the first denial"
    )
    flags = ("--poll-interval", str(_POLL_SECONDS))
    with (
        ValkeyChild(directory) as valkey,
        ServeProgram(directory, valkey.url, *flags, **environment) as one,
        ServeProgram(directory, valkey.url, *flags, **environment) as other,
    ):
        admin = (directory / "admin.token").read_text().strip()
        async with (
            grpc.aio.insecure_channel(one.address) as one_channel,
            grpc.aio.insecure_channel(other.address) as other_channel,
            redis.asyncio.Redis.from_url(valkey.url) as bare,
        ):
            client = Client(one_channel, other_channel, admin)
            token = await client.mint()
            table.add_row("Valkey's bare round trip (PING)", *await _timed(bare.ping, _WITH_VALKEY))
            table.add_row("one Verify", *await _timed(lambda: client.is_denied(token), _WITH_VALKEY))
            spans = [await client.until_denied() for _ in range(_WITH_VALKEY)]
            table.add_row("with Valkey", *_row(spans))
            os.kill(valkey.pid, signal.SIGKILL)
            spans = [await client.until_denied(_POLL_SECONDS) for _ in range(_WITHOUT_VALKEY)]
            table.add_row(f"Valkey down (poll interval {1000 * _POLL_SECONDS:.0f})", *_row(spans))
    out.print(table)


async def _timed(call: Callable[[], Awaitable[object]], count: int) -> list[str]:
    spans = []
    for _ in range(count):
        began = time.perf_counter()
        await call()
        spans.append(time.perf_counter() - began)
    return _row(spans)


def _row(spans: list[float]) -> list[str]:
    cuts = statistics.quantiles(spans, n=100, method="inclusive")
    return [f"{1000 * span:.2f}" for span in (cuts[49], cuts[98], max(spans))] + [str(len(spans))]


def main() -> None:
    out = Console()
    for store in ("SQLite", "PostgreSQL"):
        with tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary) / "data"
            directory.mkdir()
            if store == "SQLite":
                _run(store, directory, {}, out)
            else:
                with PostgresServer() as postgres:
                    _run(store, directory, {"ALMOND_DATABASE_URL": postgres.new_database()}, out)


def _run(store: str, directory: Path, environment: dict[str, str], out: Console) -> None:
    made = run("init", "--data-dir", str(directory), environment=environment)
    if made.code:
        sys.exit(made.err)
    asyncio.run(measure(store, directory, environment, out))


if __name__ == "__main__":
    main()
