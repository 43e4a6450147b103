"""Rounds of faults: while clients call the servers, faults begin and end; then the system must recover."""

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
from faults.history import HeldToken, History
from faults.injections import Injection
from faults.node import Node, Stub
from faults.system import MAX_STALENESS, SystemUnderTest
from faults.watchers import Watchers
from support.orders import deploy

BLIND_SERVER = "a_blind_server"
_HEAL_SECONDS = 60.0
_MAX_FAULTS = 3
_KEEPERS = 3
_BLIND_SHARE = 0.1
_BLIND_AND_DEAF = 2


class Rounds:
    """The rounds of one system; its clients keep their tokens from one round to the next."""

    def __init__(
        self, system: SystemUnderTest, chance: random.Random, only: frozenset[str] = frozenset()
    ) -> None:
        self.system = system
        self.history = History(MAX_STALENESS)
        self.calls = Calls(system, self.history)
        self.clients = Clients(system, self.calls, chance)
        self.watchers = Watchers(system.nodes, system.admin, self.history)
        self.faults: list[str] = []
        self._only = only
        self._store: Store = open_store(system.location)

    async def begin(self) -> None:
        """Wait for the servers, and mint the tokens that no client ever revokes."""
        if not await _by(time.monotonic() + _HEAL_SECONDS, self._keep_one_more):
            self.history.expect(False, "no server minted anything")
            return
        await self.watchers.begin()
        await self.expect_recovery()

    async def close(self) -> None:
        await self.watchers.close()
        await self._store.close()

    async def play(self, chance: random.Random) -> None:
        """Play one round with faults chosen at random."""
        self.faults = []
        async with self._working():
            possible = injections.possible(self.system)
            possible = [each for each in possible if not self._only or each.__name__ in self._only]
            if self._blinds(chance):
                await self._blind_server_stays_fresh(chance)
            else:
                chosen = chance.sample(possible, min(len(possible), chance.randint(1, _MAX_FAULTS)))
                await asyncio.gather(*(self._inject(injection, chance) for injection in chosen))
            await asyncio.sleep(0.1)
        if not self.history.violations:
            await self.expect_recovery()

    async def restart_all(self) -> None:
        """Kill all servers at once: they must load everything that was acknowledged when they start again."""
        for node in self.system.nodes:
            node.processes.kill()
        await self.expect_recovery(len(self.clients.revoked))

    async def expect_recovery(self, max_tokens: int = 30) -> None:
        """End all faults. Then every server must answer and deny what was revoked: the newest `max_tokens`.

        The feed must have every change of the store, and every watcher must receive them.
        """
        self.history.expect(await self.system.heal(), "workers outlived their parent")
        healed_at = time.monotonic()
        deadline = healed_at + _HEAL_SECONDS
        revoked = [token for token in self.clients.revoked if self.history.is_revoked(token)][-max_tokens:]
        await asyncio.gather(*(self._expect_answers(node, revoked, deadline) for node in self.system.nodes))
        if not await _by(deadline, self._feed_is_whole):
            self.history.expect(False, "the feed never got what the store has")
        if not await _by(deadline, lambda: self._watchers_have_all(healed_at)):
            self.history.expect(False, "a watcher did not catch up")
        self.watchers.expect_all()

    async def _keep_one_more(self) -> bool:
        """Mint a token that no client ever revokes; returns whether there are enough of them."""
        token = await self.calls.mint(self.system.nodes[0], None, deploy("web"))
        self.system.live += [] if token is None else [token]
        return len(self.system.live) == _KEEPERS

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
        # A third server has to reach both store and Redis: the relay.
        is_possible = self.system.postgres is not None and len(self.system.nodes) > _BLIND_AND_DEAF
        return is_possible and chance.random() < _BLIND_SHARE

    async def _inject(self, injection: Injection, chance: random.Random) -> None:
        begins, lasts = chance.uniform(0.1, 0.6), chance.uniform(0.2, 1.5)
        await asyncio.sleep(begins)
        async with injection(self.system, chance) as what:
            self.faults.append(what)
            await asyncio.sleep(lasts)

    async def _blind_server_stays_fresh(self, chance: random.Random) -> None:
        """Check that a server that reaches only Redis stays fresh by the relay's heartbeats.

        Another one reaches only the store meanwhile.
        """
        # The server with a clock of its own is too slow to be the relay of others within this bound.
        deaf, blind, _ = sorted(
            chance.sample(self.system.nodes, 3), key=lambda node: node.has_own_clock, reverse=True
        )
        assert blind.store is not None
        await asyncio.sleep(0.2)
        blind.store.cut()
        deaf.redis.cut()
        self.faults.append(f"server {blind.index} reaches only Redis, server {deaf.index} only the store")
        await asyncio.sleep(2 * MAX_STALENESS)
        since = time.monotonic()
        # A busy machine may be slow for this bound; without heartbeats the server would never become fresh.
        stays_fresh = await _by(since + _HEAL_SECONDS / 4, lambda: self._allowed(blind, since))
        self.history.expect(stays_fresh, f"server {blind.index} did not stay fresh by heartbeats")
        blind.store.heal()
        deaf.redis.heal()

    async def _allowed(self, node: Node, since: float) -> bool:
        return self.calls.last_allowed.get(node.index, 0) > since

    async def _expect_answers(self, node: Node, revoked: list[HeldToken], deadline: float) -> None:
        newest = self.history.newest

        async def is_whole() -> bool:
            # It may have ended by itself, after more deaths of workers than it allows.
            self.system.start(node)
            return node.is_whole

        if not await _by(deadline, is_whole):
            self.history.expect(False, f"server {node.index} is not whole again")
        for token, stub in itertools.product((self.system.live[0], *revoked), node.stubs):

            async def answered(token: HeldToken = token, stub: Stub = stub) -> bool:
                return await self.calls.verify(node, token, newest, stub) is not None

            if not await _by(deadline, answered):
                self.history.expect(False, f"server {node.index} did not heal")
                return

    async def _watchers_have_all(self, since: float) -> bool:
        return self.watchers.have_all(since)

    async def _feed_is_whole(self) -> bool:
        reading = await self._store.revocations.reading(0)
        feed = RedisFeed(self.system.valkey.url, self.system.feed_key, reading.epoch)
        try:
            tail = await feed.tail()
        except FeedUnavailableError:
            return False
        else:
            return (0 if tail is None else tail.number) == reading.number
        finally:
            await feed.close()


async def _by(deadline: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    """Wait until a condition is true; returns whether it became so before a monotonic time."""
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.03)
    return True
