"""`almond serve` as a process that can be paused, and called without the retries of a client."""

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

SECONDS = 30.0
"""How long a call may take; a server that fails has to say so well before."""


class Answer(enum.Enum):
    """The result of a Verify: an outcome, or the status UNAVAILABLE."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"


class Node(ServeProcess):
    """One server, called with the admin's token."""

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
        """Send SIGSTOP: connections stay open, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def mint(self) -> pb.MintResponse:
        return await self._stub.Mint(org_wide(), metadata=bearer(self._admin), timeout=SECONDS)

    async def revoke(self, minted: pb.MintResponse) -> pb.RevokeResponse:
        request = pb.RevokeRequest(token_id=minted.record.id)
        return await self._stub.Revoke(request, metadata=bearer(self._admin), timeout=SECONDS)

    async def verify(self, minted: pb.MintResponse, seconds: float = SECONDS) -> Answer:
        """Verify that a token may read; fails with any status but OK and UNAVAILABLE."""
        request = pb.VerifyRequest(token=minted.token, access=on("acme"))
        try:
            answer = await self._stub.Verify(request, metadata=bearer(self._admin), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return Answer.UNAVAILABLE
        return Answer.ALLOWED if answer.outcome == decision_pb2.OUTCOME_ALLOWED else Answer.DENIED

    async def until_answer(self, minted: pb.MintResponse, wanted: Answer, seconds: float = SECONDS) -> None:
        """Call Verify until the answer is the wanted one."""
        await eventually(lambda: self.verify(minted), lambda answer: answer is wanted, seconds)

    async def is_healthy(self, name: str = "") -> bool:
        answer = await self._health.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def until_health(self, *, healthy: bool, name: str = "", seconds: float = SECONDS) -> None:
        """Call the health service until it reports that."""
        await eventually(lambda: self.is_healthy(name), lambda is_healthy: is_healthy is healthy, seconds)


def upstream(valkey: ValkeyChild) -> str:
    """Return the path of a Valkey's socket, for a proxy."""
    return unquote(valkey.url.removeprefix("unix://"))


def init(data_dir: Path, **environment: str) -> None:
    """Run `almond init`: make a store, or join one."""
    ran = run("init", "--data-dir", str(data_dir), environment=environment)
    assert ran.code == 0, ran.err


def revisions(database: Path) -> list[int]:
    """Return the revisions that an SQLite store has given out; its file must be sound."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(closing(sqlite3.connect(database)))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [number for (number,) in connection.execute("SELECT number FROM revisions ORDER BY number")]
