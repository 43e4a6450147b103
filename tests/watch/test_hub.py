"""Watching, below gRPC: how new it is, what watchers of an org are told, and who is too far behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import TypeVar

import pytest

from almond_core import crypto
from almond_core.caveats import Org
from almond_core.masks import ALL
from almond_core.model import ANY
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import Change, CutOff, Revocation, Scope
from almond_server.domain.stores import Actor
from almond_server.errors import (
    CannotKnowError,
    StoreUnavailableError,
    UnauthenticatedError,
    WatcherTooSlowError,
)
from almond_server.revocation.follower import Follower, Signals
from almond_server.revocation.index.view import RevocationView
from almond_server.tokens.callers import Call, Callers
from almond_server.tokens.key_ring import KeyRing
from almond_server.tokens.last_used import LastUseRecorder
from almond_server.watch import change_log, stream
from almond_server.watch.change_log import Batch, ChangeLog
from almond_server.watch.events import Begin, Event, Heartbeat, SnapshotChunk, Started
from almond_server.watch.hub import WatchHub, interval_of
from fakes.feed import MemoryFeed
from fakes.revocations import MemoryRevocations
from fakes.store import MemoryStore, MemoryTokens
from support.clock import SetClock
from support.samples import record
from support.service import signed

OPERATOR = Actor("operator")
MAX_STALENESS = 0.5
_T = TypeVar("_T")


class ShyTokens(MemoryTokens):
    """Tokens of which nobody may know the home org, for a while."""

    is_shy = False
    asked = 0

    async def home_orgs(self, token_ids: Sequence[str]) -> Mapping[str, str]:
        self.asked += 1
        if self.is_shy:
            raise StoreUnavailableError("The store does not answer.")
        return await super().home_orgs(token_ids)


class Server:
    """What watching needs of a server, with nothing of gRPC."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.store = MemoryStore()
        self.tokens = ShyTokens(self.store)
        self.revocations = MemoryRevocations(self.store)
        self.view = RevocationView(self.store.epoch, MAX_STALENESS, clock)
        prk = crypto.extract(bytes(32))
        keys = KeyRing({"k1": prk}, "k1", self.view)
        callers = Callers(keys, self.view, LastUseRecorder(self.tokens), clock, 5)
        self.log = ChangeLog(self.view)
        signals = Signals(lambda _: None, lambda: None, lambda _: None, self.log.append)
        self.follower = Follower(self.revocations, MemoryFeed(), self.view, clock, 60.0, signals)
        self.watches = WatchHub(
            callers, self.log, self.follower, self.revocations, self.tokens, self.view, clock, MAX_STALENESS
        )
        self.admin = Call(signed(prk, "k1", (Org(ANY, ALL),), "almond"))

    async def revoke(self, *token_ids: str) -> None:
        revocations = [Revocation(each, None, None) for each in token_ids]
        await self.revocations.revoke(revocations, OPERATOR, "", None, 0)
        await self.follower.catch_up()

    async def minted(self, token_id: str, org: str) -> str:
        await self.tokens.add(record(token_id=token_id, org=org), OPERATOR, None, 0)
        return token_id

    @contextlib.asynccontextmanager
    async def watching(
        self, start: Revision | Begin = Begin.NOW, org: str | None = None
    ) -> AsyncIterator[AsyncGenerator[Event, None]]:
        """Begin to watch; what comes first is taken off."""
        async with contextlib.aclosing(self.watches.watch(self.admin, start, org)) as events:
            await of(Started, events)
            yield events


@pytest.fixture
async def server(clock: SetClock) -> AsyncIterator[Server]:
    built = Server(clock)
    await built.follower.catch_up()
    running = asyncio.create_task(built.watches.run())
    yield built
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def of(kind: type[_T], events: AsyncGenerator[Event, None]) -> _T:
    """Return the next event, which must be of that kind, past heartbeats."""
    async with asyncio.timeout(10):
        async for event in events:
            if isinstance(event, kind):
                return event
            assert isinstance(event, Heartbeat), event
    raise AssertionError("it ended")


def told(batch: Batch) -> dict[int | None, list[str]]:
    return {part.number: [each.token_id for each in part.revocations] for part in batch.parts}


async def is_silent(task: asyncio.Task[object]) -> None:
    """See that several heartbeats' time passes without anything."""
    await asyncio.sleep(3 * interval_of(MAX_STALENESS))
    assert not task.done()


async def test_a_heartbeat_says_how_long_after_the_call_the_store_was_read(server: Server) -> None:
    async with server.watching() as events:
        assert (await of(Heartbeat, events)).read_after == 0
        server.clock.advance(0.3)
        assert (await of(Heartbeat, events)).read_after == 0  # nothing was read since, however often it beats
        await server.follower.catch_up()
        server.clock.advance(0.1)
        heartbeat = await of(Heartbeat, events)
        assert heartbeat.read_after == pytest.approx(0.3)
        assert heartbeat.store_time == server.view.store_time


async def test_heartbeats_stop_past_the_bound_and_come_back(server: Server) -> None:
    async with server.watching() as events:
        await of(Heartbeat, events)
        server.store.available = False
        server.clock.advance(MAX_STALENESS + 0.1)
        heartbeat = asyncio.create_task(of(Heartbeat, events))
        await is_silent(heartbeat)
        with pytest.raises(CannotKnowError):
            async with server.watching():
                pass
        server.store.available = True
        await server.follower.catch_up()
        assert (await heartbeat).read_after == pytest.approx(MAX_STALENESS + 0.1)


async def test_a_watch_begins_with_a_look_at_the_store_made_since(server: Server) -> None:
    await server.revocations.revoke([Revocation("t1", None, None)], OPERATOR, "", None, 0)
    server.clock.advance(0.1)
    async with contextlib.aclosing(server.watches.watch(server.admin, Begin.NOW, None)) as events:
        assert (await of(Started, events)).revision.number == 1


async def test_what_a_caller_may_is_looked_at_again_at_each_heartbeat(server: Server) -> None:
    async with server.watching() as events:
        await of(Heartbeat, events)
        # Revoked whole, by its id, which stands in the identifier of the token that is presented.
        caller = server.watches._callers.authenticate(server.admin)[0]
        await server.revoke(caller.token.identity.token_id)
        assert told(await of(Batch, events)) == {1: [caller.token.identity.token_id]}
        with pytest.raises(UnauthenticatedError):
            await of(Batch, events)


async def test_a_watcher_of_an_org_is_told_what_may_concern_it_and_counts_every_revision(
    server: Server,
) -> None:
    for token_id, org in (("mine", "acme"), ("theirs", "other"), ("several", ""), ("any", "almond")):
        await server.minted(token_id, org)
    async with server.watching(org="acme") as events:
        for token_id in ("mine", "theirs", "several", "any", "unknown"):
            await server.revoke(token_id)
        heard: dict[int | None, list[str]] = {}
        while 5 not in heard:
            heard |= told(await of(Batch, events))
        assert heard == {1: ["mine"], 2: [], 3: ["several"], 4: ["any"], 5: ["unknown"]}
    async with server.watching(Begin.SNAPSHOT, "acme") as events:
        page = await of(SnapshotChunk, events)
        assert [each.token_id for each in page.revocations] == ["any", "mine", "several", "unknown"]


async def test_a_snapshot_without_anything_for_its_watcher_comes_in_pages_so_that_it_is_not_taken_for_dead(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_ENTRIES", 1)
    for token_id in ("a", "b", "c"):
        await server.revoke(await server.minted(token_id, "other"))
    async with server.watching(Begin.SNAPSHOT, "acme") as events:
        pages = [await of(SnapshotChunk, events) for _ in range(4)]
        assert [each.revision is not None for each in pages] == [False, False, False, True]
        assert not any(each.revocations for each in pages)


async def test_a_watcher_of_an_org_is_told_of_its_own_cut_off_and_of_all_subjects_and_keys(
    server: Server,
) -> None:
    cut_offs = [
        CutOff(Scope.ORG, "other", 1),
        CutOff(Scope.ORG, "acme", 1),
        CutOff(Scope.SUBJECT, "user:u", 1),
        CutOff(Scope.KEY, "k", None),
    ]
    async with server.watching(org="acme") as events:
        server.log.append(Change(1, b"", b"", (), tuple(cut_offs)))
        [part] = (await of(Batch, events)).parts
        assert list(part.cut_offs) == cut_offs[1:]


async def test_those_who_catch_up_share_what_was_read(server: Server) -> None:
    kept = server.watches._context.shared(Change(7, b"", b"", ()))
    assert server.watches._context.shared(Change(7, b"", b"", ())) is kept
    assert server.watches._context.shared(Change(8, b"", b"", ())) is not kept


async def test_while_nobody_knows_home_orgs_only_watchers_of_orgs_hear_nothing_newer(server: Server) -> None:
    await server.minted("theirs", "other")
    async with server.watching(org="acme") as events, server.watching() as whole:
        heard: list[Event] = []

        async def listen() -> None:
            async for event in events:
                heard.append(event)
                if isinstance(event, Batch):
                    return

        server.tokens.is_shy = True
        server.clock.advance(0.1)
        await server.revoke("theirs")
        assert told(await of(Batch, whole)) == {1: ["theirs"]}
        assert (await of(Heartbeat, whole)).read_after == pytest.approx(0.1)
        listening = asyncio.create_task(listen())
        await is_silent(listening)
        assert {(each.revision.number, each.read_after) for each in heard if isinstance(each, Heartbeat)} <= {
            (0, 0)
        }
        server.tokens.is_shy = False
        await listening
        assert isinstance(heard[-1], Batch)
        assert told(heard[-1]) == {1: []}
        heartbeat = await of(Heartbeat, events)
        assert heartbeat.revision.number == 1
        assert heartbeat.read_after == pytest.approx(0.1)


async def test_home_orgs_are_asked_for_only_while_somebody_watches_an_org(server: Server) -> None:
    async with server.watching() as events:
        await server.revoke("t1")
        await of(Batch, events)
        assert server.tokens.asked == 0


async def test_who_is_behind_what_the_log_keeps_is_too_slow_and_can_go_on_from_the_store(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_log, "_MAX_CHANGES", 10)
    async with server.watching() as events:
        await server.revoke("t0")
        assert told(await of(Batch, events)) == {1: ["t0"]}
        for number in range(1, 21):
            await server.revoke(f"t{number}")
        with pytest.raises(WatcherTooSlowError):
            await of(Batch, events)
    assert len(server.log._logged) == 10
    async with server.watching(Revision(server.store.epoch, 1)) as events:
        heard: dict[int | None, list[str]] = {}
        while 21 not in heard:
            heard |= told(await of(Batch, events))
        assert heard == {number + 1: [f"t{number}"] for number in range(1, 21)}


async def test_the_log_keeps_few_entries_but_always_the_newest_change(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_log, "_MAX_LOGGED", 10)
    for number in range(4):
        await server.revoke(*(f"t{number}.{each}" for each in range(4)))
    assert [*server.log._logged] == [3, 4]
    await server.revoke(*(f"t5.{each}" for each in range(50)))
    assert [*server.log._logged] == [5]


async def test_who_is_at_one_place_is_told_by_one_value(server: Server) -> None:
    async with server.watching() as one, server.watching() as other:
        await server.revoke("t1")
        assert await of(Batch, one) is await of(Batch, other)


async def test_many_changes_at_once_come_in_few_messages(server: Server) -> None:
    async with server.watching() as events:
        await of(Heartbeat, events)
        for number in range(100):
            await server.revoke(f"t{number}")
        messages, last = 0, 0
        while last < 100:
            last = (await of(Batch, events)).end.number
            messages += 1
        assert messages <= 20


@pytest.mark.parametrize(("bound", "interval"), [(0.1, 0.1), (5, 1), (60, 5)])
def test_five_heartbeats_come_within_the_bound(bound: float, interval: float) -> None:
    assert interval_of(bound) == interval


async def test_who_is_always_behind_is_told_how_new_that_is_and_looked_at(server: Server) -> None:
    arrived, made_after = server.clock.monotonic(), {0: 0.0}

    async def revoke_one() -> None:
        made_after[len(made_after)] = server.clock.monotonic() - arrived
        await server.revoke(f"t{len(made_after)}")

    async def read_slowly(events: AsyncGenerator[Event, None]) -> list[Event]:
        """Read on; while each event is on its way, there is another change."""
        heard = []
        for _ in range(12):
            heard.append(await anext(events))
            await revoke_one()
            server.clock.advance(0.1)
            await asyncio.sleep(interval_of(MAX_STALENESS) / 2)
        return heard

    async with server.watching() as events:
        await of(Heartbeat, events)
        await revoke_one()
        number = pulses = 0
        for each in await read_slowly(events):
            if isinstance(each, Batch):
                number = each.end.number
            if isinstance(each, Heartbeat):
                pulses += 1
                assert each.revision.number == number
                assert made_after[number] <= each.read_after <= made_after[number + 1]
        assert number > 3
        assert pulses > 1
        caller = server.watches._callers.authenticate(server.admin)[0]
        await server.revoke(caller.token.identity.token_id)
        with pytest.raises(UnauthenticatedError):
            await read_slowly(events)
