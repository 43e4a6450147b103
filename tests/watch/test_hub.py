"""Watches without gRPC: how fresh they are, what watchers of an org receive, and which are too slow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TypeVar

import pytest

from almond_core.caveats import Org
from almond_core.masks import ALL
from almond_core.model import ANY
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import Change, CutOff, Revocation, Scope
from almond_server.errors import (
    CannotKnowError,
    StoreUnavailableError,
    UnauthenticatedError,
    WatcherTooSlowError,
)
from almond_server.tokens.callers import Call
from almond_server.watch import change_log, stream
from almond_server.watch.change_log import Batch
from almond_server.watch.events import Begin, Event, Heartbeat, SnapshotChunk, Started
from almond_server.watch.hub import interval_of
from fakes.store import MemoryStore, MemoryTokens
from support.clock import SetClock
from support.plane import KEY_ID, PRK, Plane, in_background
from support.samples import OPERATOR, record
from support.service import signed

MAX_STALENESS = 0.5
ADMIN = Call(signed(PRK, KEY_ID, (Org(ANY, ALL),), "almond"))
_T = TypeVar("_T")


class UnreadableTokens(MemoryTokens):
    """Tokens whose home orgs cannot be read while `is_unreadable`; counts the reads."""

    is_unreadable = False
    reads = 0

    async def home_orgs(self, token_ids: Sequence[str]) -> Mapping[str, str]:
        self.reads += 1
        if self.is_unreadable:
            raise StoreUnavailableError("The store does not answer.")
        return await super().home_orgs(token_ids)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def tokens(store: MemoryStore) -> UnreadableTokens:
    return UnreadableTokens(store)


@pytest.fixture
async def server(clock: SetClock, store: MemoryStore, tokens: UnreadableTokens) -> AsyncIterator[Plane]:
    built = Plane(clock, store, tokens=tokens, max_staleness=MAX_STALENESS)
    await built.follower.catch_up()
    async with in_background(built.watches.run()):
        yield built


async def minted(server: Plane, token_id: str, org: str) -> str:
    await server.tokens.add(record(token_id=token_id, org=org), OPERATOR, None, 0)
    return token_id


@contextlib.asynccontextmanager
async def watching(
    server: Plane, start: Revision | Begin = Begin.NOW, org: str | None = None
) -> AsyncIterator[AsyncGenerator[Event, None]]:
    """Start to watch; yields the events after the first one."""
    async with contextlib.aclosing(server.watches.watch(ADMIN, start, org)) as events:
        await of(Started, events)
        yield events


async def of(kind: type[_T], events: AsyncGenerator[Event, None]) -> _T:
    """Return the next event, which must be of a kind; skips heartbeats."""
    async with asyncio.timeout(10):
        async for event in events:
            if isinstance(event, kind):
                return event
            assert isinstance(event, Heartbeat), event
    raise AssertionError("the watch ended")


def ids_of(batch: Batch) -> dict[int | None, list[str]]:
    return {part.number: [each.token_id for each in part.revocations] for part in batch.parts}


async def expect_silence(task: asyncio.Task[object]) -> None:
    """Check that a task does not end within three heartbeat intervals."""
    await asyncio.sleep(3 * interval_of(MAX_STALENESS))
    assert not task.done()


async def test_a_heartbeat_says_how_long_after_the_call_the_store_was_read(server: Plane) -> None:
    async with watching(server) as events:
        assert (await of(Heartbeat, events)).read_after == 0
        server.clock.advance(0.3)
        # The store was not read again, however many heartbeats came.
        assert (await of(Heartbeat, events)).read_after == 0
        await server.follower.catch_up()
        server.clock.advance(0.1)
        heartbeat = await of(Heartbeat, events)
        assert heartbeat.read_after == pytest.approx(0.3)
        assert heartbeat.store_time == server.view.store_time


async def test_heartbeats_stop_while_the_view_is_stale(server: Plane) -> None:
    async with watching(server) as events:
        await of(Heartbeat, events)
        server.store.available = False
        server.clock.advance(MAX_STALENESS + 0.1)
        heartbeat = asyncio.create_task(of(Heartbeat, events))
        await expect_silence(heartbeat)
        with pytest.raises(CannotKnowError):
            async with watching(server):
                pass
        server.store.available = True
        await server.follower.catch_up()
        assert (await heartbeat).read_after == pytest.approx(MAX_STALENESS + 0.1)


async def test_a_watch_starts_with_a_read_of_the_store_made_after_the_call(server: Plane) -> None:
    await server.revocations.revoke([Revocation("t1", None, None)], OPERATOR, "", None, 0)
    server.clock.advance(0.1)
    async with contextlib.aclosing(server.watches.watch(ADMIN, Begin.NOW, None)) as events:
        assert (await of(Started, events)).revision.number == 1


async def test_a_caller_is_checked_again_at_each_heartbeat(server: Plane) -> None:
    async with watching(server) as events:
        await of(Heartbeat, events)
        # Its whole token is revoked, by the id in the identifier of the presented token.
        caller = server.callers.authenticate(ADMIN)[0]
        await server.revoke_and_follow(caller.token.identity.token_id)
        assert ids_of(await of(Batch, events)) == {1: [caller.token.identity.token_id]}
        with pytest.raises(UnauthenticatedError):
            await of(Batch, events)


async def test_a_watcher_of_an_org_gets_what_may_concern_it_and_every_revision(
    server: Plane,
) -> None:
    for token_id, org in (("mine", "acme"), ("theirs", "other"), ("several", ""), ("any", "almond")):
        await minted(server, token_id, org)
    async with watching(server, org="acme") as events:
        for token_id in ("mine", "theirs", "several", "any", "unknown"):
            await server.revoke_and_follow(token_id)
        received: dict[int | None, list[str]] = {}
        while 5 not in received:
            received |= ids_of(await of(Batch, events))
        assert received == {1: ["mine"], 2: [], 3: ["several"], 4: ["any"], 5: ["unknown"]}
    async with watching(server, Begin.SNAPSHOT, "acme") as events:
        page = await of(SnapshotChunk, events)
        assert [each.token_id for each in page.revocations] == ["any", "mine", "several", "unknown"]


async def test_a_snapshot_without_anything_for_its_watcher_still_comes_in_pages(
    server: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without any message for long, the watcher would take the connection for dead.
    monkeypatch.setattr(stream, "MAX_ENTRIES", 1)
    for token_id in ("a", "b", "c"):
        await server.revoke_and_follow(await minted(server, token_id, "other"))
    async with watching(server, Begin.SNAPSHOT, "acme") as events:
        pages = [await of(SnapshotChunk, events) for _ in range(4)]
        assert [each.revision is not None for each in pages] == [False, False, False, True]
        assert not any(each.revocations for each in pages)


async def test_a_watcher_of_an_org_gets_its_own_cut_off_and_those_of_subjects_and_keys(
    server: Plane,
) -> None:
    cut_offs = [
        CutOff(Scope.ORG, "other", 1),
        CutOff(Scope.ORG, "acme", 1),
        CutOff(Scope.SUBJECT, "user:u", 1),
        CutOff(Scope.KEY, "k", None),
    ]
    async with watching(server, org="acme") as events:
        server.log.append(Change(1, b"", b"", (), tuple(cut_offs)))
        [part] = (await of(Batch, events)).parts
        assert list(part.cut_offs) == cut_offs[1:]


async def test_watchers_that_catch_up_share_what_was_read(server: Plane) -> None:
    kept = server.watches._context.shared(Change(7, b"", b"", ()))
    assert server.watches._context.shared(Change(7, b"", b"", ())) is kept
    assert server.watches._context.shared(Change(8, b"", b"", ())) is not kept


async def test_only_watchers_of_an_org_wait_while_home_orgs_cannot_be_read(
    server: Plane, tokens: UnreadableTokens
) -> None:
    await minted(server, "theirs", "other")
    async with watching(server, org="acme") as events, watching(server) as whole:
        received: list[Event] = []

        async def listen() -> None:
            async for event in events:
                received.append(event)
                if isinstance(event, Batch):
                    return

        tokens.is_unreadable = True
        server.clock.advance(0.1)
        await server.revoke_and_follow("theirs")
        assert ids_of(await of(Batch, whole)) == {1: ["theirs"]}
        assert (await of(Heartbeat, whole)).read_after == pytest.approx(0.1)
        listening = asyncio.create_task(listen())
        await expect_silence(listening)
        heartbeats = [each for each in received if isinstance(each, Heartbeat)]
        assert {(each.revision.number, each.read_after) for each in heartbeats} <= {(0, 0)}
        tokens.is_unreadable = False
        await listening
        assert isinstance(received[-1], Batch)
        assert ids_of(received[-1]) == {1: []}
        heartbeat = await of(Heartbeat, events)
        assert heartbeat.revision.number == 1
        assert heartbeat.read_after == pytest.approx(0.1)


async def test_home_orgs_are_read_only_while_a_client_watches_an_org(
    server: Plane, tokens: UnreadableTokens
) -> None:
    async with watching(server) as events:
        await server.revoke_and_follow("t1")
        await of(Batch, events)
        assert tokens.reads == 0


async def test_a_watcher_behind_the_log_is_too_slow_and_can_resume_from_the_store(
    server: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_log, "_MAX_CHANGES", 10)
    async with watching(server) as events:
        await server.revoke_and_follow("t0")
        assert ids_of(await of(Batch, events)) == {1: ["t0"]}
        for number in range(1, 21):
            await server.revoke_and_follow(f"t{number}")
        with pytest.raises(WatcherTooSlowError):
            await of(Batch, events)
    assert len(server.log._logged) == 10
    async with watching(server, Revision(server.store.epoch, 1)) as events:
        received: dict[int | None, list[str]] = {}
        while 21 not in received:
            received |= ids_of(await of(Batch, events))
        assert received == {number + 1: [f"t{number}"] for number in range(1, 21)}


async def test_the_log_keeps_few_entries_but_always_the_newest_change(
    server: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_log, "_MAX_LOGGED", 10)
    for number in range(4):
        await server.revoke_and_follow(*(f"t{number}.{each}" for each in range(4)))
    assert [*server.log._logged] == [3, 4]
    await server.revoke_and_follow(*(f"t5.{each}" for each in range(50)))
    assert [*server.log._logged] == [5]


async def test_watchers_at_one_cursor_share_one_value(server: Plane) -> None:
    async with watching(server) as one, watching(server) as other:
        await server.revoke_and_follow("t1")
        assert await of(Batch, one) is await of(Batch, other)


async def test_many_changes_come_in_few_messages(server: Plane) -> None:
    async with watching(server) as events:
        await of(Heartbeat, events)
        for number in range(100):
            await server.revoke_and_follow(f"t{number}")
        messages, last = 0, 0
        while last < 100:
            last = (await of(Batch, events)).end.number
            messages += 1
        assert messages <= 20


@pytest.mark.parametrize(("bound", "interval"), [(0.1, 0.1), (5, 1), (60, 5)])
def test_five_heartbeats_come_within_the_bound(bound: float, interval: float) -> None:
    assert interval_of(bound) == interval


async def test_a_watcher_that_is_always_behind_still_gets_heartbeats_and_is_checked(server: Plane) -> None:
    arrived, made_after = server.clock.monotonic(), {0: 0.0}

    async def revoke_one() -> None:
        made_after[len(made_after)] = server.clock.monotonic() - arrived
        await server.revoke_and_follow(f"t{len(made_after)}")

    async def read_slowly(events: AsyncGenerator[Event, None]) -> list[Event]:
        """Read events; another change is made before each of them arrives."""
        received = []
        for _ in range(12):
            received.append(await anext(events))
            await revoke_one()
            server.clock.advance(0.1)
            await asyncio.sleep(interval_of(MAX_STALENESS) / 2)
        return received

    async with watching(server) as events:
        await of(Heartbeat, events)
        await revoke_one()
        number = heartbeats = 0
        for each in await read_slowly(events):
            if isinstance(each, Batch):
                number = each.end.number
            if isinstance(each, Heartbeat):
                heartbeats += 1
                assert each.revision.number == number
                assert made_after[number] <= each.read_after <= made_after[number + 1]
        assert number > 3
        assert heartbeats > 1
        caller = server.callers.authenticate(ADMIN)[0]
        await server.revoke_and_follow(caller.token.identity.token_id)
        with pytest.raises(UnauthenticatedError):
            await read_slowly(events)
