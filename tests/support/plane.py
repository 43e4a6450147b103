"""The revocation plane of one server, over memory and without gRPC.

Several servers are several planes: the test passes to each what they share (a store, a feed, the box of an
election). Nothing runs by itself: `running()` starts the follower and, if asked for, the relay.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from almond_core import crypto
from almond_server.domain.revocations import Reading, Revocation
from almond_server.errors import CannotKnowError
from almond_server.revocation.follower import Follower
from almond_server.revocation.index.view import RevocationView
from almond_server.revocation.relay import Relay
from almond_server.revocation.signals import Signals
from almond_server.tokens.callers import Callers
from almond_server.tokens.key_ring import KeyRing
from almond_server.tokens.last_used import LastUseRecorder
from almond_server.watch.change_log import ChangeLog
from almond_server.watch.hub import WatchHub
from fakes.election import MemoryElection
from fakes.feed import MemoryFeed
from fakes.revocations import MemoryRevocations
from fakes.store import MemoryStore, MemoryTokens
from support.clock import SetClock
from support.samples import OPERATOR
from support.waiting import until

KEY_ID = "k1"
PRK = crypto.extract(bytes(32))
"""The only key of every plane's ring, extracted."""

SELDOM, OFTEN = 60.0, 0.01
"""Seconds between two polls of the store: so many that no test sees a second one, or so few that all do."""


class StoreAccess(MemoryRevocations):
    """One server's way to a store. While `is_cut`, this server alone cannot read the newest revision."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.is_cut = False

    async def reading(self, now: int) -> Reading:
        if self.is_cut:
            raise CannotKnowError("cut")
        return await super().reading(now)


class Plane:
    """A view with all that fills it and reads it: follower, relay, change log and watch hub."""

    def __init__(
        self,
        clock: SetClock,
        store: MemoryStore | None = None,
        feed: MemoryFeed | None = None,
        *,
        revocations: StoreAccess | None = None,
        tokens: MemoryTokens | None = None,
        election_box: list[object] | None = None,
        poll_seconds: float = SELDOM,
        max_staleness: float = 5.0,
    ) -> None:
        """Build it; what is not given is new. The relay runs once in `poll_seconds` as well."""
        self.clock = clock
        self.store = MemoryStore() if store is None else store
        self.feed = MemoryFeed() if feed is None else feed
        self.revocations = StoreAccess(self.store) if revocations is None else revocations
        self.tokens = MemoryTokens(self.store) if tokens is None else tokens
        self.view = RevocationView(self.store.epoch, max_staleness, clock)
        self.freshness: list[bool] = []
        """Each freshness of the view that the follower signalled, in order."""
        self.alarms = 0
        """How many alarms the follower raised."""
        self.log = ChangeLog(self.view)
        signals = Signals(self._note_freshness, self._count_alarm, lambda _: None, self.log.append)
        self.follower = Follower(self.revocations, self.feed, self.view, clock, poll_seconds, signals)
        election = MemoryElection([] if election_box is None else election_box)
        self.relay = Relay(election, self.revocations, self.feed, self.follower, clock, poll_seconds)
        self.keys = KeyRing({KEY_ID: PRK}, KEY_ID, self.view)
        self.callers = Callers(self.keys, self.view, LastUseRecorder(self.tokens), clock, 5)
        self.watches = WatchHub(
            self.callers,
            self.log,
            self.follower,
            self.revocations,
            self.tokens,
            self.view,
            clock,
            max_staleness,
        )

    def _note_freshness(self, why: str | None) -> None:
        if self.freshness[-1:] != [why is None]:
            self.freshness.append(why is None)

    def _count_alarm(self) -> None:
        self.alarms += 1

    @property
    def number(self) -> int:
        """The revision of the view."""
        return self.view.revision.number

    async def revoke(self, *token_ids: str, ends_at: int | None = None) -> None:
        """Revoke tokens in the store, each under a revision of its own."""
        for token_id in token_ids:
            await self.revocations.revoke([Revocation(token_id, None, ends_at)], OPERATOR, "", None, 0)

    async def revoke_and_follow(self, *token_ids: str) -> None:
        """Revoke tokens in the store under one revision, and let the view follow."""
        revocations = [Revocation(each, None, None) for each in token_ids]
        await self.revocations.revoke(revocations, OPERATOR, "", None, 0)
        await self.follower.catch_up()

    @contextlib.asynccontextmanager
    async def running(self, *, relay: bool = False) -> AsyncIterator[None]:
        """Start the follower and, if asked for, the relay; the feed is read when the block begins."""
        readers = self.feed.readers
        await self.follower.start()
        async with in_background(self.follower.run()):
            await until(lambda: self.freshness and self.feed.readers > readers)
            async with in_background(self.relay.run()) if relay else contextlib.nullcontext():
                yield

    async def reaches(self, number: int) -> None:
        """Wait until the view has a revision."""
        await until(lambda: self.number == number)


@contextlib.asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work`, which must not end by itself, until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        assert not task.done(), "it ended by itself"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
