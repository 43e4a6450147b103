"""Another process holds SQLite's lock for longer than a server waits: writes fail, and Verify goes on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode as Code

from almond.v1 import decision_pb2
from almond_server.data_dir import paths
from faults.nodes import revisions
from support.orders import org_wide
from support.refusals import refusal
from support.service import Almond, almond, on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from almond.v1 import token_service_pb2 as pb

MAX_STALENESS = 1.0
HOLDER = """
import sqlite3, sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Almond]:
    async with almond(tmp_path / "data", max_staleness=MAX_STALENESS) as running:
        yield running


@contextmanager
def _held(database: Path) -> Iterator[None]:
    command = [sys.executable, "-c", HOLDER, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.kill()  # without a ROLLBACK, as in a crash


async def _is_allowed(service: Almond, minted: pb.MintResponse) -> bool:
    answer = await service.verify(minted.token, on("acme"))
    return answer.outcome == decision_pb2.OUTCOME_ALLOWED


async def _keep_verifying(service: Almond, minted: pb.MintResponse) -> int:
    count = 0
    while True:
        try:
            async with asyncio.timeout(1):
                assert await _is_allowed(service, minted)
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            return count
        count += 1


async def test_writes_are_refused_in_time_while_verify_goes_on(service: Almond) -> None:
    live, target, later = [await service.mint(org_wide()) for _ in range(3)]
    verifying = asyncio.create_task(_keep_verifying(service, live))
    await asyncio.sleep(0)
    with _held(paths.database(service.data_dir)):
        writes = service.mint(org_wide()), service.revoke(token_id=target.record.id)
        async with asyncio.timeout(6):
            refused = await asyncio.gather(*map(refusal, writes))
        for each in refused:
            assert (each.code, each.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
            assert (each.retry_ms or 0) > 0
            assert each.pushback_ms == each.retry_ms
        verifying.cancel()
        assert await verifying > 20
        assert await _is_allowed(service, target)
    for each_token in (target, later):
        await service.revoke(token_id=each_token.record.id)
        assert not await _is_allowed(service, each_token)
    assert revisions(paths.database(service.data_dir)) == [0, 1, 2]
