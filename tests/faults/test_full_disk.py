"""A full disk: a server acknowledges only what was written, and goes on answering."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc import StatusCode as Code

from almond.v1 import decision_pb2
from almond_server.data_dir import paths
from almond_server.ops.valkey_child import ValkeyChild
from faults.nodes import Answer, Node, init, revisions
from support.orders import org_wide
from support.refusals import refusal
from support.service import Almond, almond, on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from almond.v1 import token_service_pb2 as pb

DISK_KIB = 1024
MAX_STALENESS = 1.0


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Almond]:
    async with almond(tmp_path / "data", max_staleness=MAX_STALENESS) as running:
        yield running


async def _limit(service: Almond, pages: int) -> None:
    await service.app.store.database.write(
        "test", lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    )


async def _revoke_until_refused(service: Almond, tokens: list[pb.MintResponse]) -> int:
    for number, each in enumerate(tokens):
        try:
            await service.revoke(token_id=each.record.id, reason="x" * 200)
        except grpc.aio.AioRpcError:
            return number
    raise AssertionError("there was space for all")


async def _is_allowed(service: Almond, minted: pb.MintResponse) -> bool:
    answer = await service.verify(minted.token, on("acme"))
    return answer.outcome == decision_pb2.OUTCOME_ALLOWED


async def test_a_store_without_space_refuses_to_revoke_and_goes_on_answering(service: Almond) -> None:
    tokens = [await service.mint(org_wide()) for _ in range(60)]
    await _limit(service, 1)  # no more pages than it has
    done = await _revoke_until_refused(service, tokens)
    refused = await refusal(service.revoke(token_id=tokens[done].record.id, reason="x" * 200))
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert (refused.retry_ms or 0) > 0
    assert refused.pushback_ms == refused.retry_ms
    await asyncio.sleep(MAX_STALENESS * 1.5)  # reading the store takes no space
    assert [await _is_allowed(service, each) for each in tokens] == [False] * done + [True] * (60 - done)

    await _limit(service, 1_000_000)
    revoked = await service.revoke(token_id=tokens[done].record.id)
    assert revoked.revision.endswith(f".{done + 1}")
    assert not await _is_allowed(service, tokens[done])
    assert revisions(paths.database(service.data_dir)) == list(range(done + 2))


class NodeOnItsOwnDisk(Node):
    """A server whose data directory is a small disk with a copy of the earlier content."""

    def __init__(self, data_dir: Path, redis_url: str) -> None:
        super().__init__(data_dir, redis_url, "--max-staleness", str(MAX_STALENESS))
        original = data_dir.rename(data_dir.with_name("original"))
        data_dir.mkdir()
        script = 'mount -t tmpfs -o mode=700,size="$1"k tmpfs "$2"; cp -p "$3"/* "$2"; shift 3; exec "$@"'
        # A user who is not root may mount in a namespace of its own, in which it is root.
        namespace = ["unshare", "-m" if os.geteuid() == 0 else "-Urm", "sh", "-ec", script, "sh"]
        self._before = [*namespace, str(DISK_KIB), str(data_dir), str(original)]

    @property
    def disk(self) -> Path:
        """The directory as the server sees it."""
        return Path(f"/proc/{self.pid}/root") / self.data_dir.relative_to("/")


def _fill(disk: Path) -> Path:
    """Write until no space is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(itertools.repeat(bytes(1024)))
    return ballast


async def test_a_server_on_a_full_disk_refuses_to_revoke_and_loses_nothing(tmp_path: Path) -> None:
    data_dir, valkey_dir = tmp_path / "data", tmp_path / "valkey"
    valkey_dir.mkdir()
    init(data_dir)
    with ValkeyChild(valkey_dir) as valkey:
        async with NodeOnItsOwnDisk(data_dir, valkey.url) as node:
            tokens = [await node.mint() for _ in range(12)]
            done = 3
            for each in tokens[:done]:
                await node.revoke(each)
            ballast = _fill(node.disk)
            for each in tokens[done:]:
                refused = await refusal(node.revoke(each))
                assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
                assert "full" in refused.message
            assert (await refusal(node.mint())).code == Code.UNAVAILABLE
            await asyncio.sleep(MAX_STALENESS * 1.5)
            expected = [Answer.DENIED] * done + [Answer.ALLOWED] * (len(tokens) - done)
            assert [await node.verify(each) for each in tokens] == expected
            assert await node.is_healthy()

            ballast.unlink()
            await node.revoke(tokens[done])
            assert await node.verify(tokens[done]) is Answer.DENIED
            assert await node.verify(tokens[done + 1]) is Answer.ALLOWED
            left = shutil.copytree(node.disk, tmp_path / "left")  # as kill -9 would leave it
            assert revisions(paths.database(left)) == list(range(done + 2))
