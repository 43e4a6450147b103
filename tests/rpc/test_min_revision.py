"""`min_revision`: whoever carries the revision of a revocation sees it on any server, or no yes."""

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
    async with almond(data_dir) as here:
        settings = replace(
            here.settings, redis_url="unix:///nonexistent/valkey.sock", poll_interval=59.0, max_staleness=60.0
        )
        async with served(await compose(settings), settings, here.valkey) as there:
            yield here, there


async def test_another_server_asks_the_store_for_a_revision_that_it_has_not_seen(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "data") as (here, there):
        made = await here.mint(org_wide())
        assert (await there.verify(made.token, on("acme"))).outcome == ALLOWED
        revision = (await here.revoke(token_id=made.record.id)).revision
        assert (await there.verify(made.token, on("acme"))).outcome == ALLOWED  # within its bound
        denied = await there.verify(made.token, on("acme"), min_revision=revision)
        assert (denied.outcome, denied.revision) == (DENIED, revision)


async def test_many_who_wait_cost_few_looks_at_the_store(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "data") as (here, there):
        revocations = there.app.store.revocations
        looks = 0
        reading = revocations.reading

        async def counted(now: int) -> object:
            nonlocal looks
            looks += 1
            return await reading(now)

        revocations.reading = counted  # type: ignore[assignment]
        made = await here.mint(org_wide())
        revision = (await here.revoke(token_id=made.record.id)).revision
        asked = [there.verify(made.token, on("acme"), min_revision=revision) for _ in range(50)]
        assert {each.outcome for each in await asyncio.gather(*asked)} == {DENIED}
        assert 1 <= looks <= 4


async def test_a_batch_waits_once_and_answers_each_question(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "data") as (here, there):
        made = await here.mint(org_wide())
        revision = (await here.revoke(token_id=made.record.id)).revision
        epoch, _, number = revision.partition(".")
        revisions = ["", revision, f"{epoch}.{int(number) + 1}", f"{epoch}.{int(number) + 2}", "x"]
        questions = [
            pb.VerifyRequest(token=made.token, access=on("acme"), min_revision=each) for each in revisions
        ]
        answer = await there.stub.BatchVerify(
            pb.BatchVerifyRequest(requests=questions), metadata=bearer(there.admin)
        )
        assert [each.response.outcome for each in answer.results[1:2]] == [DENIED]
        assert [each.error.reason for each in answer.results[2:]] == [
            "REVISION_UNKNOWN",
            "REVISION_UNKNOWN",
            "FIELD_INVALID",
        ]


async def test_a_batch_that_nobody_can_answer_waits_once(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "data") as (here, there):
        made = await here.mint(org_wide())
        revision = (await here.revoke(token_id=made.record.id)).revision
        paths.database(here.settings.data_dir).rename(tmp_path / "away.db")
        looks, reading = 0, there.app.store.revocations.reading

        async def counted(now: int) -> object:
            nonlocal looks
            looks += 1
            return await reading(now)

        there.app.store.revocations.reading = counted  # type: ignore[method-assign, assignment]
        question = pb.VerifyRequest(token=made.token, access=on("acme"), min_revision=revision)
        batch = pb.BatchVerifyRequest(requests=[question] * 20)
        answer = await there.stub.BatchVerify(batch, metadata=bearer(there.admin))
        assert {each.error.code for each in answer.results} == {grpc.StatusCode.UNAVAILABLE.value[0]}
        assert looks <= 2


@pytest.mark.parametrize("garbage", ["alm1_nonsense", ""])
async def test_a_store_that_does_not_answer_is_unavailable_whoever_asks(tmp_path: Path, garbage: str) -> None:
    async with two_servers(tmp_path / "data") as (here, there):
        made = await here.mint(org_wide())
        revision = (await here.revoke(token_id=made.record.id)).revision
        paths.database(here.settings.data_dir).rename(tmp_path / "away.db")  # no more what was opened
        refused = await refusal(there.verify(garbage or made.token, on("acme"), min_revision=revision))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert refused.retry_ms
        assert refused.pushback_ms
