"""A rotated token is revoked once, whatever happens to the relay when it is due."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from google.protobuf.duration_pb2 import Duration

from almond.v1 import token_service_pb2 as pb
from almond_server.ops.valkey_child import ValkeyChild
from e2e.service import run
from faults.nodes import Answer, Node, init
from support.orders import org_wide
from support.service import bearer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKENS = 30


class RotatingNode(Node):
    """A server that rotates tokens, and can be killed."""

    async def rotate(self, overlap: int) -> tuple[pb.MintResponse, pb.MintResponse]:
        """Mint a token and rotate it; returns it and its successor."""
        admin = bearer(self._admin)
        old = await self._stub.Mint(org_wide(ttl=Duration(seconds=3600)), metadata=admin)
        request = pb.RotateTokenRequest(token_id=old.record.id, overlap=Duration(seconds=overlap))
        done = await self._stub.RotateToken(request, metadata=admin)
        return old, pb.MintResponse(token=done.token, record=done.record)

    def kill(self) -> None:
        """Send SIGKILL, and wait until it has ended."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def resume(self) -> None:
        """Send SIGCONT, unless it was killed."""
        with contextlib.suppress(ProcessLookupError):
            super().resume()

    @property
    def is_relay(self) -> bool:
        return "relay.elected" in self.log.read_text()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyChild]:
    directory = tmp_path / "valkey"
    directory.mkdir()
    with ValkeyChild(directory) as child:
        yield child


@pytest.fixture(params=["sqlite", "postgres"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The settings of servers on a new store of one kind."""
    chosen = {}
    if request.param == "postgres":
        chosen["ALMOND_DATABASE_URL"] = request.getfixturevalue("postgres").new_database()
    init(tmp_path / "data", **chosen)
    return chosen


def revoked_ids(data_dir: Path, environment: dict[str, str]) -> Counter[str]:
    """Return how often each token was revoked, by the audit log."""
    exported = run("audit", "export", "--data-dir", str(data_dir), environment=environment)
    assert exported.code == 0, exported.err
    rows = map(json.loads, exported.out.splitlines())
    return Counter(row["target"] for row in rows if row["action"] == "token.revoked")


async def expect_rotated(node: RotatingNode, rotated: list[tuple[pb.MintResponse, pb.MintResponse]]) -> None:
    for old, _ in rotated:
        await node.until_answer(old, Answer.DENIED)
    assert {await node.verify(successor) for _, successor in rotated} == {Answer.ALLOWED}


async def test_a_relay_that_is_killed_while_tokens_are_due_loses_none_and_none_is_revoked_twice(
    tmp_path: Path, valkey: ValkeyChild, environment: dict[str, str]
) -> None:
    data_dir = tmp_path / "data"
    async with RotatingNode(data_dir, valkey.url, "--poll-interval", "0.1", **environment) as first:
        first.eventually(lambda: first.is_relay)
        async with RotatingNode(data_dir, valkey.url, "--poll-interval", "0.1", **environment) as other:
            rotated = [await other.rotate(1 + number % 3) for number in range(TOKENS)]
            # They are due in the seconds that follow; the relay has just begun.
            await other.until_answer(rotated[0][0], Answer.DENIED)
            first.kill()
            await expect_rotated(other, rotated)
            assert other.is_relay
    assert revoked_ids(data_dir, environment) == dict.fromkeys((old.record.id for old, _ in rotated), 1)


async def test_what_was_due_while_no_server_ran_is_revoked_when_one_starts(
    tmp_path: Path, valkey: ValkeyChild, environment: dict[str, str]
) -> None:
    data_dir = tmp_path / "data"
    async with RotatingNode(data_dir, valkey.url, **environment) as killed:
        rotated = [await killed.rotate(1) for _ in range(3)]
        killed.kill()
        await asyncio.sleep(2)  # the overlap passes
    async with RotatingNode(data_dir, valkey.url, **environment) as started:
        await expect_rotated(started, rotated)
    assert revoked_ids(data_dir, environment) == dict.fromkeys((old.record.id for old, _ in rotated), 1)


async def test_it_is_revoked_without_redis(
    tmp_path: Path, valkey: ValkeyChild, environment: dict[str, str]
) -> None:
    data_dir = tmp_path / "data"
    async with RotatingNode(data_dir, valkey.url, "--poll-interval", "0.1", **environment) as alone:
        alone.eventually(lambda: alone.is_relay)
        valkey.stop()
        rotated = [await alone.rotate(1)]
        await alone.until_answer(rotated[0][0], Answer.DENIED, 5)
        await expect_rotated(alone, rotated)
