"""WatchRevocations over a channel: how it starts, that every change arrives once, and how it ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from sqlalchemy import Connection, delete

from almond.v1 import caveat_pb2, token_service_pb2
from almond.v1 import revocation_service_pb2 as pb
from almond_core.crypto import name_hash
from almond_core.model import token_id_at
from almond_server.adapters.sql.tables import REVISIONS
from almond_server.app import compose
from almond_server.domain.revocations import CutOff, Revocation, Scope
from almond_server.domain.stores import Actor
from almond_server.watch import change_log, hub, stream
from support.orders import org_wide, verifier
from support.service import Almond, almond, bearer, served
from support.waiting import eventually
from support.watching import NOW, SNAPSHOT, after, ids, now, number, numbers, refused, revoke, watching

Code = grpc.StatusCode
pytestmark = pytest.mark.asyncio(loop_scope="module")


def _entries(count: int, first: int = 0) -> list[Revocation]:
    return [Revocation(_id(each), None, None) for each in range(first, first + count)]


def _id(serial: int) -> str:
    return token_id_at(1_700_000_000_000, serial.to_bytes(10, "big"))


async def test_from_now_a_watch_gets_what_is_revoked_later(shared: Almond) -> None:
    before, whole = [await shared.mint(org_wide()) for _ in range(2)]
    made = await shared.mint(org_wide())
    narrowed = await shared.stub.Attenuate(
        token_service_pb2.AttenuateRequest(
            token=made.token, caveats=[caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="r"))]
        )
    )
    revision = (await shared.revoke(token_id=before.record.id)).revision
    async with watching(shared) as stream:
        assert stream.started.revision == revision
        target = token_service_pb2.BranchTarget(token_id=made.record.id, branch_id=narrowed.branch_id)
        revisions = [
            (await shared.revoke(token_id=whole.record.id)).revision,
            (await shared.revoke(branch=target)).revision,
        ]
        first, second = await stream.changes(2)
        assert [first.revision, second.revision] == revisions
        [of_whole], [of_branch] = first.withdrawals, second.withdrawals
        assert (of_whole.token_id, of_whole.HasField("branch_id")) == (whole.record.id, False)
        assert of_whole.expire_time == whole.record.expire_time
        assert (of_branch.token_id, of_branch.branch_id) == (made.record.id, narrowed.branch_id)


async def test_after_a_revision_a_watch_gets_every_later_change(shared: Almond) -> None:
    async with watching(shared) as stream:
        begin = stream.started.revision
    made = [await shared.mint(org_wide()) for _ in range(5)]
    revisions = [(await shared.revoke(token_id=each.record.id)).revision for each in made]
    revision = revisions[-1]
    async with watching(shared, after(begin)) as stream:
        assert stream.started.revision == begin
        changes = await stream.until(revision)
        assert numbers(changes) == list(range(number(begin) + 1, number(revision) + 1))
        assert ids(changes) == [each.record.id for each in made]
        assert (await stream.heartbeat()).revision == revision
    async with watching(shared, after(revision)) as stream:
        assert (await stream.next()).heartbeat.revision == revision


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message holds a tenth of what it holds by default."""
    for module in (change_log, stream):
        monkeypatch.setattr(module, "MAX_ENTRIES", 100)


async def test_a_snapshot_has_what_the_store_has_and_changes_follow_it(
    shared: Almond, small_messages: None
) -> None:
    await revoke(shared.app, *_entries(250), Revocation(_id(9_000), b"\1" * 16, 1_900_000_000))
    async with watching(shared, SNAPSHOT) as stream:
        # Revoked meanwhile: it is not in the snapshot, but in a change after it.
        made = await shared.mint(org_wide())
        revision = (await shared.revoke(token_id=made.record.id)).revision
        whole = await stream.snapshot()
        kept = await shared.app.store.revocations.page(number(whole.revision), None, 10_000)
        assert whole.revision == stream.started.revision
        assert [(each.token_id, each.HasField("branch_id")) for each in whole.withdrawals] == [
            (each.token_id, each.branch_id is not None) for each in kept
        ]
        assert len(kept) >= 251
        assert ids(await stream.until(revision)) == [made.record.id]


async def test_a_large_change_comes_in_parts_and_the_last_has_its_revision(
    shared: Almond, small_messages: None
) -> None:
    async with watching(shared) as stream:
        await revoke(shared.app, *_entries(230, 10_000))
        parts = await stream.changes(3)
        assert [len(each.withdrawals) for each in parts] == [100, 100, 30]
        assert [bool(each.revision) for each in parts] == [False, False, True]
        assert sorted(ids(parts)) == sorted(each.token_id for each in _entries(230, 10_000))
        begin = stream.started.revision
    async with watching(shared, after(begin)) as stream:
        assert ids(await stream.changes(3)) == ids(parts)


async def test_every_watcher_gets_concurrent_revocations_in_one_order(shared: Almond) -> None:
    made = [await shared.mint(org_wide()) for _ in range(60)]
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(watching(shared)) for _ in range(8)]
        begin = streams[0].started.revision
        done = await asyncio.gather(*(shared.revoke(token_id=each.record.id) for each in made))
        last = max((each.revision for each in done), key=number)
        received = [await stream.until(last) for stream in streams]
        resumed = await (await stack.enter_async_context(watching(shared, after(begin)))).until(last)
    for each in (*received, resumed):
        assert numbers(each) == list(range(number(begin) + 1, number(last) + 1))
        assert sorted(ids(each)) == sorted(one.record.id for one in made)
        assert [sorted(ids([change])) for change in each] == [sorted(ids([change])) for change in resumed]


async def test_cut_offs_name_orgs_and_subjects_as_hashes_and_keys_in_clear(shared: Almond) -> None:
    cut_offs = (
        CutOff(Scope.ORG, "acme", 1_000_000_000_123),
        CutOff(Scope.SUBJECT, "user:ada", 1_000_000_000_123),
        CutOff(Scope.KEY, "k1", None),
    )
    async with watching(shared) as stream:
        await revoke(shared.app, cut_offs=cut_offs)
        [change] = await stream.changes(1)
        # In the order of the store: by scope.
        of_key, of_org, of_subject = change.cut_offs
        assert (of_org.scope, of_org.name_hash.hex()) == (
            pb.CUT_OFF_SCOPE_ORG,
            "70175992a5c4520d4aeed67ae5022e00",
        )
        assert of_org.until_time.ToMilliseconds() == 1_000_000_000_123
        assert (of_subject.scope, of_subject.name_hash.hex()) == (
            pb.CUT_OFF_SCOPE_SUBJECT,
            "b15a5a4dd93ffb2704c094b821cbbb66",
        )
        assert (of_key.scope, of_key.key_id, of_key.name_hash) == (pb.CUT_OFF_SCOPE_KEY, "k1", b"")
        assert not of_key.HasField("until_time")
        assert b"acme" not in change.SerializeToString()
        assert b":ada" not in change.SerializeToString()


async def test_a_snapshot_has_the_cut_offs_that_concern_its_watcher(shared: Almond) -> None:
    cut_offs = (
        CutOff(Scope.ORG, "of-snapshot", 1_000_000_000_000),
        CutOff(Scope.ORG, "of-others", 1_000_000_000_000),
        CutOff(Scope.SUBJECT, "user:of-snapshot", 1_000_000_000_000),
    )
    await revoke(shared.app, cut_offs=cut_offs)
    hashes = {}
    for org in ("", "of-snapshot", "of-others"):
        async with watching(
            shared, pb.WatchRevocationsRequest(snapshot=pb.FromSnapshot(), org=org)
        ) as stream:
            hashes[org] = {each.name_hash for each in (await stream.snapshot()).cut_offs}
    mine, theirs, subject = (name_hash(each.scope.value, each.name) for each in cut_offs)
    assert {mine, theirs, subject} <= hashes[""]
    assert hashes["of-snapshot"] & {mine, theirs, subject} == {mine, subject}
    assert hashes["of-others"] & {mine, theirs, subject} == {theirs, subject}


async def test_a_bulk_revocation_arrives_as_one_cut_off(shared: Almond) -> None:
    async with watching(shared) as stream:
        done = await shared.revoke(org=token_service_pb2.OrgTarget(org="of-wide"))
        [change] = await stream.until(done.revision)
    assert (len(change.cut_offs), len(change.withdrawals)) == (1, 0)


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (pb.WatchRevocationsRequest(), Code.INVALID_ARGUMENT, "FIELD_INVALID"),
        (after(""), Code.INVALID_ARGUMENT, "FIELD_INVALID"),
        (after("7"), Code.INVALID_ARGUMENT, "FIELD_INVALID"),
        (now(org="*"), Code.INVALID_ARGUMENT, "FIELD_INVALID"),
        (now(org="almond"), Code.INVALID_ARGUMENT, "FIELD_INVALID"),
        (after("00000000.0"), Code.FAILED_PRECONDITION, "REVISION_UNKNOWN"),
    ],
)
async def test_a_broken_start_is_refused(
    shared: Almond, request_: pb.WatchRevocationsRequest, code: Code, reason: str
) -> None:
    refusal = await refused(shared, request_)
    assert (refusal.code, refusal.reason) == (code, reason)


async def test_a_revision_that_was_never_given_out_is_refused(shared: Almond) -> None:
    async with watching(shared) as stream:
        epoch, _, last = stream.started.revision.partition(".")
    refusal = await refused(shared, after(f"{epoch}.{int(last) + 1}"))
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "REVISION_UNKNOWN")


async def test_revoking_the_callers_token_ends_its_watch(shared: Almond) -> None:
    gate = await shared.mint(verifier())
    async with watching(shared, now(org="acme"), gate.token) as stream:
        await stream.heartbeat()
        await shared.revoke(token_id=gate.record.id)
        end = await stream.refusal()
    assert (end.code, end.reason) == (Code.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")


async def test_a_watcher_over_the_limit_is_refused(shared: Almond, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MAX_WATCHERS", len(shared.app.watches) + 1)
    async with watching(shared):
        refusal = await refused(shared, NOW)
        assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHERS")
        assert refusal.retry_ms


async def test_one_token_cannot_take_all_watches(shared: Almond, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = (await shared.mint(verifier())).token
    mine = now(org="acme")
    monkeypatch.setattr(hub, "MAX_OF_A_TOKEN", 1)
    async with watching(shared, mine, gate):
        refusal = await refused(shared, mine, gate)
        assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHERS")
        async with watching(shared, mine, (await shared.mint(verifier())).token):
            pass
    await eventually(lambda: _can_watch(shared, mine, gate), bool)


async def _can_watch(service: Almond, request: pb.WatchRevocationsRequest, caller: str) -> bool:
    try:
        async with watching(service, request, caller):
            return True
    except grpc.aio.AioRpcError:
        return False


async def test_watchers_that_start_at_once_share_reads_of_the_store(shared: Almond) -> None:
    revocations = shared.app.store.revocations
    reads, reading = 0, revocations.reading

    async def counted(now: int) -> object:
        nonlocal reads
        reads += 1
        return await reading(now)

    revocations.reading = counted  # type: ignore[method-assign, assignment]
    try:
        async with AsyncExitStack() as stack:
            await asyncio.gather(*(stack.enter_async_context(watching(shared)) for _ in range(50)))
    finally:
        revocations.reading = reading  # type: ignore[method-assign]
    assert 1 <= reads <= 20


@pytest.mark.asyncio(loop_scope="function")
async def test_a_watch_resumes_at_another_server_and_after_a_restart(tmp_path: Path) -> None:
    async with almond(tmp_path / "data") as first:
        settings = replace(
            first.settings, redis_url="unix:///nonexistent", poll_interval=59, max_staleness=60
        )
        made = [await first.mint(org_wide()) for _ in range(4)]
        async with watching(first) as stream:
            begin = stream.started.revision
            await first.revoke(token_id=made[0].record.id)
            [change] = await stream.changes(1)
            async with served(await compose(settings), settings, first.valkey) as second:
                await first.revoke(token_id=made[1].record.id)  # which the second server has not read
                async with watching(second, after(change.revision)) as other:
                    assert ids(await other.changes(1)) == [made[1].record.id]
            first.app.watches.leave()
            end = await stream.refusal()
            assert (end.code, end.reason) == (Code.UNAVAILABLE, "DRAINING")
            assert (await refused(first, after(change.revision))).reason == "DRAINING"
        await first.revoke(token_id=made[2].record.id)
    async with almond(tmp_path / "data") as again, watching(again, after(begin)) as stream:
        await again.stub.Revoke(
            token_service_pb2.RevokeRequest(token_id=made[3].record.id), metadata=bearer(again.admin)
        )
        changes = await stream.changes(4)
        assert ids(changes) == [each.record.id for each in made]
        assert numbers(changes) == list(range(number(begin) + 1, number(begin) + 5))


async def _forget(service: Almond, last: int) -> None:
    """Delete the revisions up to one from the store, as pruning does after two days."""

    def work(connection: Connection) -> None:
        connection.execute(delete(REVISIONS).where(REVISIONS.c.number <= last))

    await service.app.store.database.write("test", work)


@pytest.mark.asyncio(loop_scope="function")
async def test_after_a_forgotten_revision_only_a_snapshot_helps(tmp_path: Path) -> None:
    async with almond(tmp_path / "data", poll_interval=59.0, max_staleness=60.0) as service:
        async with watching(service) as stream:
            begin = stream.started.revision
            behind = service.app.store.revocations
            await behind.revoke(_entries(1), Actor("operator"), "", None, 0)
            await behind.revoke(_entries(1, 5), Actor("operator"), "", None, 0)
            await _forget(service, number(begin) + 1)
            await service.app.follower.catch_up()
            end = await stream.refusal()
            assert (end.code, end.reason) == (Code.FAILED_PRECONDITION, "REVISION_FORGOTTEN")
        refusal = await refused(service, after(begin))
        assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "REVISION_FORGOTTEN")
        async with watching(service, SNAPSHOT) as stream:
            assert len((await stream.snapshot()).withdrawals) == 2
