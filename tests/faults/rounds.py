"""Rounds of a world under faults: clients work, things break and are mended, and then all must be well."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from almond_server.adapters.redis.feed import RedisFeed
from almond_server.adapters.sql.store import Store, open_store
from almond_server.domain.feed import FeedUnavailableError
from faults import injections
from faults.calls import Calls
from faults.clients import Clients
from faults.history import Held, History
from faults.injections import Injection
from faults.node import Node, Stub
from faults.system import MAX_STALENESS, World
from faults.watchers import Watchers
from support.orders import deploy

BLIND_SERVER = "a_blind_server"
_HEAL_SECONDS = 60.0
_MOST_FAULTS = 3
_KEEPERS = 3
_BLIND_SHARE = 0.1
_BLIND_AND_DEAF = 2


class Rounds:
    """The rounds of one world, which is used up as its clients go on with what they hold."""

    def __init__(self, world: World, chance: random.Random, only: frozenset[str] = frozenset()) -> None:
        self.world = world
        self.history = History(MAX_STALENESS)
        self.calls = Calls(world, self.history)
        self.clients = Clients(world, self.calls, chance)
        self.watchers = Watchers(world.nodes, world.admin, self.history)
        self.faults: list[str] = []
        self._only = only
        self._store: Store = open_store(world.location)

    async def begin(self) -> None:
        """Wait for the servers, and mint what nobody ever revokes."""
        if not await _by(time.monotonic() + _HEAL_SECONDS, self._keep_one_more):
            self.history.must(False, "no server minted anything")
            return
        await self.watchers.begin()
        await self.must_be_well()

    async def close(self) -> None:
        await self.watchers.close()
        await self._store.close()

    async def play(self, chance: random.Random) -> None:
        """One round with faults chosen at random."""
        self.faults = []
        async with self._working():
            possible = injections.possible(self.world)
            possible = [each for each in possible if not self._only or each.__name__ in self._only]
            if self._blinds(chance):
                await self._blind_server_goes_on(chance)
            else:
                chosen = chance.sample(possible, min(len(possible), chance.randint(1, _MOST_FAULTS)))
                await asyncio.gather(*(self._inject(injection, chance) for injection in chosen))
            await asyncio.sleep(0.1)
        if not self.history.violations:
            await self.must_be_well()

    async def begin_anew(self) -> None:
        """Kill all servers at once: what they load then must be all that was acknowledged."""
        for node in self.world.nodes:
            node.processes.kill()
        await self.must_be_well(len(self.clients.gone))

    async def must_be_well(self, most: int = 30) -> None:
        """Mend everything.

        Then every server must answer and know what was revoked; the feed must have it, and watchers be told.
        """
        self.history.must(await self.world.heal(), "workers outlived their parent")
        healed_at = time.monotonic()
        deadline = healed_at + _HEAL_SECONDS
        gone = [token for token in self.clients.gone if self.history.is_gone(token)][-most:]
        await asyncio.gather(*(self._must_answer(node, gone, deadline) for node in self.world.nodes))
        if not await _by(deadline, self._feed_is_whole):
            self.history.must(False, "the feed never got what the store has")
        if not await _by(deadline, lambda: self._watchers_know_all(healed_at)):
            self.history.must(False, "a watcher did not catch up")
        self.watchers.must_have_all()

    async def _keep_one_more(self) -> bool:
        """Mint what nobody ever revokes; answers whether that is enough of it."""
        token = await self.calls.mint(self.world.nodes[0], None, deploy("web"))
        self.world.live += [] if token is None else [token]
        return len(self.world.live) == _KEEPERS

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        working = asyncio.create_task(self.clients.run())
        try:
            yield
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working

    def _blinds(self, chance: random.Random) -> bool:
        if self._only:
            return BLIND_SERVER in self._only
        # Somebody else has to see both: the relay.
        is_possible = self.world.postgres is not None and len(self.world.nodes) > _BLIND_AND_DEAF
        return is_possible and chance.random() < _BLIND_SHARE

    async def _inject(self, injection: Injection, chance: random.Random) -> None:
        begins, lasts = chance.uniform(0.1, 0.6), chance.uniform(0.2, 1.5)
        await asyncio.sleep(begins)
        async with injection(self.world, chance) as what:
            self.faults.append(what)
            await asyncio.sleep(lasts)

    async def _blind_server_goes_on(self, chance: random.Random) -> None:
        """Who sees only Redis stays fresh by the relay's heartbeats, beside one that sees only the store."""
        # The server with a clock of its own is too slow to be the relay of others within this bound.
        deaf, blind, _ = sorted(
            chance.sample(self.world.nodes, 3), key=lambda node: node.has_own_clock, reverse=True
        )
        assert blind.store is not None
        await asyncio.sleep(0.2)
        blind.store.cut()
        deaf.redis.cut()
        self.faults.append(f"server {blind.index} sees only Redis, server {deaf.index} only the store")
        await asyncio.sleep(2 * MAX_STALENESS)
        since = time.monotonic()
        # A busy machine is slow for this bound; without heartbeats it would never be.
        went_on = await _by(since + _HEAL_SECONDS / 4, lambda: self._said_yes(blind, since))
        self.history.must(went_on, f"server {blind.index} did not go on by heartbeats")
        blind.store.heal()
        deaf.redis.heal()

    async def _said_yes(self, node: Node, since: float) -> bool:
        return self.calls.last_yes.get(node.index, 0) > since

    async def _must_answer(self, node: Node, gone: list[Held], deadline: float) -> None:
        newest = self.history.newest

        async def is_whole() -> bool:
            self.world.start(node)  # it may have ended by itself: more of its workers had died than it allows
            return node.is_whole

        if not await _by(deadline, is_whole):
            self.history.must(False, f"server {node.index} is not whole again")
        for token, stub in itertools.product((self.world.live[0], *gone), node.stubs):

            async def answered(token: Held = token, stub: Stub = stub) -> bool:
                return await self.calls.ask(node, token, newest, stub) is not None

            if not await _by(deadline, answered):
                self.history.must(False, f"server {node.index} did not heal")
                return

    async def _watchers_know_all(self, since: float) -> bool:
        return self.watchers.know_all(since)

    async def _feed_is_whole(self) -> bool:
        reading = await self._store.revocations.reading(0)
        feed = RedisFeed(self.world.valkey.url, self.world.feed_key, reading.epoch)
        try:
            tail = await feed.tail()
        except FeedUnavailableError:
            return False
        else:
            return (0 if tail is None else tail.number) == reading.number
        finally:
            await feed.close()


async def _by(deadline: float, good: Callable[[], Awaitable[bool]]) -> bool:
    while not await good():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.03)
    return True
