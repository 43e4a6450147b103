"""`almond serve` as a process that can be paused, and asked without a client's patience or retries."""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from almond.v1 import decision_pb2, token_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from e2e.service import ServeProcess, run
from support.orders import org_wide
from support.service import bearer, channel_to, on
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from almond_server.ops.valkey_child import ValkeyChild

SECONDS = 10.0
"""How long a call may take; whoever fails has to say so well before."""


class Answer(enum.Enum):
    """What a Verify came to. `NOBODY_KNOWS` is UNAVAILABLE."""

    YES = "yes"
    NO = "no"
    NOBODY_KNOWS = "nobody knows"


class Node(ServeProcess):
    """One server. Calls are made with the admin's token."""

    def __init__(self, data_dir: Path, redis_url: str, *flags: str, **environment: str) -> None:
        super().__init__(data_dir, redis_url, *flags, **environment)
        self._admin = (data_dir / "admin.token").read_text().strip()

    async def __aenter__(self) -> Self:
        self.__enter__()
        self._channel = channel_to(self.address)
        self._stub = token_service_pb2_grpc.TokenServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()
        self.resume()
        self.__exit__()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """SIGSTOP: connections stand, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def mint(self) -> pb.MintResponse:
        return await self._stub.Mint(org_wide(), metadata=bearer(self._admin), timeout=SECONDS)

    async def revoke(self, minted: pb.MintResponse) -> pb.RevokeResponse:
        request = pb.RevokeRequest(token_id=minted.record.id)
        return await self._stub.Revoke(request, metadata=bearer(self._admin), timeout=SECONDS)

    async def asked(self, minted: pb.MintResponse, seconds: float = SECONDS) -> Answer:
        """Ask whether a token may read; fails with any status but OK and UNAVAILABLE."""
        request = pb.VerifyRequest(token=minted.token, access=on("acme"))
        try:
            answer = await self._stub.Verify(request, metadata=bearer(self._admin), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return Answer.NOBODY_KNOWS
        return Answer.YES if answer.outcome == decision_pb2.OUTCOME_ALLOWED else Answer.NO

    async def comes_to(self, minted: pb.MintResponse, wanted: Answer, seconds: float = SECONDS) -> None:
        """Ask until the answer is the wanted one."""
        await eventually(lambda: self.asked(minted), lambda answer: answer is wanted, seconds)

    async def is_healthy(self, name: str = "") -> bool:
        answer = await self._health.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def turns(self, *, healthy: bool, name: str = "", seconds: float = SECONDS) -> None:
        """Look until health says so."""
        await eventually(lambda: self.is_healthy(name), lambda said: said is healthy, seconds)


def upstream(valkey: ValkeyChild) -> str:
    """Name a Valkey's socket to a proxy."""
    return unquote(valkey.url.removeprefix("unix://"))


def init(data_dir: Path, **environment: str) -> None:
    """Make a store, or join one."""
    ran = run("init", "--data-dir", str(data_dir), environment=environment)
    assert ran.code == 0, ran.err


def revisions(database: Path) -> list[int]:
    """Read the revisions that an SQLite store has given out, and see that the file is whole."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(closing(sqlite3.connect(database)))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [number for (number,) in connection.execute("SELECT number FROM revisions ORDER BY number")]
