"""Revoke with `unused_since`: the precondition, and what it is refused with."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import update

from almond.v1 import token_service_pb2 as pb
from almond_core import base64url
from almond_core.model import token_id_at
from almond_server.adapters.sql.tables import TOKENS
from almond_server.domain.records import Record
from almond_server.domain.stores import Actor
from support import samples
from support.caveats import record
from support.orders import deploy, org_wide, revoker
from support.refusals import Refusal, refusal
from support.service import Almond, on

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 24 * 3600


def ago(days: float) -> Timestamp:
    return Timestamp(seconds=int(time.time() - days * DAY))


async def old(service: Almond, used: int | None = None, days: int = 30, org: str = "acme") -> Record:
    """Record a token that was minted some days ago."""
    minted_at_ms = int((time.time() - days * DAY) * 1000)
    made = samples.record(
        token_id=token_id_at(minted_at_ms, len(_ids).to_bytes(10)),
        org=org,
        created_at_ms=minted_at_ms,
        expires_at=int(time.time()) + DAY,
        last_used_at=used,
    )
    _ids.append(made.token_id)
    return await service.app.store.tokens.add(made, Actor("operator"), None, int(time.time()))


_ids: list[str] = []


async def refused(service: Almond, caller: str | None = None, **fields: Any) -> Refusal:
    return await refusal(service.revoke(caller, **fields))


async def is_revoked(service: Almond, token_id: str) -> bool:
    return (await record(service, token_id)).HasField("revoke_time")


async def test_a_token_unused_for_a_week_is_revoked_and_audited_as_any(shared: Almond) -> None:
    unused = await old(shared)
    done = await shared.revoke(token_id=unused.token_id, unused_since=ago(7), reason="nobody uses it")
    assert done.entries == 1
    assert await is_revoked(shared, unused.token_id)
    (row,) = await shared.app.store.audit.newest(1)
    assert (row.action, row.target, row.detail) == ("token.revoked", unused.token_id, "nobody uses it")
    again = await shared.revoke(token_id=unused.token_id, unused_since=ago(7))
    assert again.entries == 0


@pytest.mark.parametrize("validate_only", [True, False])
async def test_a_token_used_since_is_refused_by_name_and_stays(shared: Almond, validate_only: bool) -> None:
    used = await old(shared, used=int(time.time()) - DAY)
    found = await refused(shared, token_id=used.token_id, unused_since=ago(7), validate_only=validate_only)
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOKEN_IN_USE")
    assert "created or used" in found.message
    assert not await is_revoked(shared, used.token_id)


async def test_a_dry_run_shows_the_record_and_revokes_nothing(shared: Almond) -> None:
    unused = await old(shared)
    would = await shared.revoke(token_id=unused.token_id, unused_since=ago(8), validate_only=True)
    assert [each.id for each in would.records] == [unused.token_id]
    assert not await is_revoked(shared, unused.token_id)


async def test_a_token_made_since_is_refused(shared: Almond) -> None:
    made = await shared.mint(deploy())
    found = await refused(shared, token_id=made.record.id, unused_since=ago(7))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOKEN_IN_USE")


async def test_a_use_that_this_server_has_not_written_yet_counts(shared: Almond) -> None:
    sweeper = await shared.mint(revoker())
    made = await shared.mint(org_wide())
    # As if it had been minted a month ago.
    await _age(shared, made.record.id)
    assert (await shared.verify(made.token, on("acme"))).authentic
    found = await refused(shared, sweeper.token, token_id=made.record.id, unused_since=ago(7))
    assert found.reason == "TOKEN_IN_USE"
    assert (await record(shared, made.record.id)).HasField("last_use_time")


async def test_the_callers_own_token_is_in_use(shared: Almond) -> None:
    own = await shared.mint(org_wide())
    await _age(shared, own.record.id)
    found = await refused(shared, own.token, token_id=own.record.id, unused_since=ago(7))
    assert found.reason == "TOKEN_IN_USE"


async def _age(service: Almond, token_id: str) -> None:
    aged = update(TOKENS).where(TOKENS.c.id == token_id).values(created_at_ms=1)
    await service.app.store.tokens._database.write(
        "test", lambda connection: connection.execute(aged).close()
    )


@pytest.mark.parametrize("days", [6.99, 0, -36_500], ids=str)
async def test_less_than_seven_days_is_not_long_enough(shared: Almond, days: float) -> None:
    unused = await old(shared)
    found = await refused(shared, token_id=unused.token_id, unused_since=ago(days))
    assert (found.code, found.field) == (grpc.StatusCode.INVALID_ARGUMENT, "unused_since")
    assert not await is_revoked(shared, unused.token_id)


TARGETS: list[dict[str, Any]] = [
    {"branch": pb.BranchTarget(token_id=token_id_at(1, bytes(10)), branch_id=base64url.encode(bytes(16)))},
    {"token": "alm1_x"},
    {"minted_by": pb.MintedByTarget(token_id=token_id_at(1, bytes(10)))},
    {"subject": pb.SubjectTarget(subject="user:ann")},
    {"app": pb.AppTarget(org="acme", app="web")},
    {"org": pb.OrgTarget(org="acme")},
    {"token_id": token_id_at(1, bytes(10)), "with_minted": True},
    {},
]


@pytest.mark.parametrize("target", TARGETS, ids=str)
async def test_it_goes_with_one_token_by_its_id_alone(shared: Almond, target: dict[str, Any]) -> None:
    found = await refused(shared, unused_since=ago(30), **target)
    assert (found.code, found.field) == (grpc.StatusCode.INVALID_ARGUMENT, "unused_since")


@pytest.mark.parametrize(
    "since", [Timestamp(seconds=-1), Timestamp(nanos=1), Timestamp(seconds=2**62)], ids=str
)
async def test_a_time_that_is_none_is_named(shared: Almond, since: Timestamp) -> None:
    found = await refused(shared, token_id=token_id_at(1, bytes(10)), unused_since=since)
    assert (found.code, found.field) == (grpc.StatusCode.INVALID_ARGUMENT, "unused_since")


async def test_it_gives_no_right(shared: Almond) -> None:
    unused, theirs = await old(shared), await shared.mint(org_wide("theirs"))
    found = await refused(shared, theirs.token, token_id=unused.token_id, unused_since=ago(7))
    assert found.code is grpc.StatusCode.PERMISSION_DENIED
    request = pb.RevokeRequest(token_id=unused.token_id, unused_since=ago(7))
    anonymous = await refusal(shared.stub.Revoke(request))
    assert anonymous.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_repeated_request_is_answered_as_before(shared: Almond) -> None:
    unused = await old(shared)
    fields: dict[str, Any] = {
        "token_id": unused.token_id,
        "unused_since": ago(7),
        "request_id": "once",
    }
    first, again = await shared.revoke(**fields), await shared.revoke(**fields)
    assert (first.entries, first.revision) == (again.entries, again.revision)
