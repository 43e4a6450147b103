"""`min_revision`: with the revision of a revocation, every server denies the token, or does not answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from almond.v1 import decision_pb2
from almond.v1 import token_service_pb2 as pb
from almond_server.app import compose
from almond_server.data_dir import paths
from support.orders import org_wide
from support.refusals import refusal
from support.service import Almond, almond, bearer, on, served

ALLOWED, DENIED = decision_pb2.OUTCOME_ALLOWED, decision_pb2.OUTCOME_DENIED


@contextlib.asynccontextmanager
async def two_servers(data_dir: Path) -> AsyncIterator[tuple[Almond, Almond]]:
    """Serve one store twice; the second server polls seldom and its Redis does not exist."""
    async with almond(data_dir) as server:
        settings = replace(
            server.settings,
            redis_url="unix:///nonexistent/valkey.sock",
            poll_interval=59.0,
            max_staleness=60.0,
        )
        async with served(await compose(settings), settings, server.valkey) as other:
            yield server, other


async def test_another_server_reads_a_revision_that_it_has_not_seen(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "data") as (server, other):
        made = await server.mint(org_wide())
        assert (await other.verify(made.token, on("acme"))).outcome == ALLOWED
        revision = (await server.revoke(token_id=made.record.id)).revision
        assert (await other.verify(made.token, on("acme"))).outcome == ALLOWED  # within its maximum staleness
        denied = await other.verify(made.token, on("acme"), min_revision=revision)
        assert (denied.outcome, denied.revision) == (DENIED, revision)


async def test_many_waiting_calls_cause_few_reads_of_the_store(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "data") as (server, other):
        revocations = other.app.store.revocations
        reads = 0
        reading = revocations.reading

        async def counted(now: int) -> object:
            nonlocal reads
            reads += 1
            return await reading(now)

        revocations.reading = counted  # type: ignore[assignment]
        made = await server.mint(org_wide())
        revision = (await server.revoke(token_id=made.record.id)).revision
        calls = [other.verify(made.token, on("acme"), min_revision=revision) for _ in range(50)]
        assert {each.outcome for each in await asyncio.gather(*calls)} == {DENIED}
        assert 1 <= reads <= 4


async def test_a_batch_waits_once_and_answers_each_request(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "data") as (server, other):
        made = await server.mint(org_wide())
        revision = (await server.revoke(token_id=made.record.id)).revision
        epoch, _, number = revision.partition(".")
        revisions = ["", revision, f"{epoch}.{int(number) + 1}", f"{epoch}.{int(number) + 2}", "x"]
        requests = [
            pb.VerifyRequest(token=made.token, access=on("acme"), min_revision=each) for each in revisions
        ]
        answer = await other.stub.BatchVerify(
            pb.BatchVerifyRequest(requests=requests), metadata=bearer(other.admin)
        )
        assert [each.response.outcome for each in answer.results[1:2]] == [DENIED]
        assert [each.error.reason for each in answer.results[2:]] == [
            "REVISION_UNKNOWN",
            "REVISION_UNKNOWN",
            "FIELD_INVALID",
        ]


async def test_a_batch_waits_once_for_a_lost_store(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "data") as (server, other):
        made = await server.mint(org_wide())
        revision = (await server.revoke(token_id=made.record.id)).revision
        paths.database(server.settings.data_dir).rename(tmp_path / "away.db")
        reads, reading = 0, other.app.store.revocations.reading

        async def counted(now: int) -> object:
            nonlocal reads
            reads += 1
            return await reading(now)

        other.app.store.revocations.reading = counted  # type: ignore[method-assign, assignment]
        request = pb.VerifyRequest(token=made.token, access=on("acme"), min_revision=revision)
        batch = pb.BatchVerifyRequest(requests=[request] * 20)
        answer = await other.stub.BatchVerify(batch, metadata=bearer(other.admin))
        assert {each.error.code for each in answer.results} == {grpc.StatusCode.UNAVAILABLE.value[0]}
        assert reads <= 2


@pytest.mark.parametrize("garbage", ["alm1_nonsense", ""])
async def test_a_lost_store_is_unavailable_to_every_caller(tmp_path: Path, garbage: str) -> None:
    async with two_servers(tmp_path / "data") as (server, other):
        made = await server.mint(org_wide())
        revision = (await server.revoke(token_id=made.record.id)).revision
        # The path no longer leads to the file that was opened.
        paths.database(server.settings.data_dir).rename(tmp_path / "away.db")
        refused = await refusal(other.verify(garbage or made.token, on("acme"), min_revision=revision))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert refused.retry_ms
        assert refused.pushback_ms
