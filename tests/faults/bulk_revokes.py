"""Clients that revoke all that is in a place, while others mint there: an org, a subject or an app."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from typing import Any

from almond.v1 import token_service_pb2 as pb
from faults.calls import Calls
from faults.history import Held
from faults.node import Node
from faults.system import World
from support.orders import deploy, minter

_Mint = Callable[[Node], Coroutine[Any, Any, Held | None]]


class Wide:
    """Clears places of its own, each twice, and mints before, meanwhile and afterwards."""

    def __init__(self, world: World, calls: Calls, chance: random.Random, gone: list[Held]) -> None:
        """Take a list that gets whatever was in a place when that was cleared."""
        self._world = world
        self._calls = calls
        self._chance = chance
        self._gone = gone
        self._numbers = itertools.count()
        self.survivors: list[Held] = []
        """Tokens that were minted after the last time that their place was cleared."""

    async def run(self) -> None:
        """Do it again and again."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.1, 0.5))
            name = f"cut{next(self._numbers)}"
            await self._chance.choice([self._org, self._subject, self._app])(name)

    async def _org(self, name: str) -> None:
        async def mint(node: Node) -> Held | None:
            return await self._calls.mint(node, None, deploy(org=name))

        request, place = pb.RevokeRequest(org=pb.OrgTarget(org=name)), f"org {name}"
        await self._clear_twice(mint, request, place, place)
        token = next((each for each in reversed(self._gone) if each.org == name), None)
        if token is not None:
            # For good, whatever becomes of the org; and no concern of those who watch another one.
            own = pb.RevokeRequest(token_id=token.token_id)
            await self._calls.revoke(self._node(), own, token.token_id, token.token_id)

    async def _app(self, name: str) -> None:
        async def mint(node: Node) -> Held | None:
            token = await self._calls.mint(node, None, deploy(name))
            if token is not None and self._chance.random() < 0.5:
                return await self._calls.attenuate(node, token)
            return token

        request = pb.RevokeRequest(app=pb.AppTarget(org="acme", app=name))
        await self._clear_twice(mint, request, f"app acme/{name}")

    async def _subject(self, name: str) -> None:
        """Minters of one subject, and what they mint."""
        subject = f"service:{name}"
        minters: list[Held] = []

        async def mint(node: Node) -> Held | None:
            if not minters or self._chance.random() < 0.3:
                order = minter(name=name)
                token = await self._calls.mint(node, None, order, subject)
                minters.extend([] if token is None else [token])
                return token
            return await self._calls.mint(node, minters[-1], deploy())

        def forget() -> None:
            self._calls.gone_minters.extend(minters)
            minters.clear()

        request, place = pb.RevokeRequest(subject=pb.SubjectTarget(subject=subject)), f"subject {subject}"
        await self._clear_twice(mint, request, place, place, forget=forget)

    async def _clear_twice(
        self,
        mint: _Mint,
        request: pb.RevokeRequest,
        place: str,
        *told: str,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        for _ in range(2):
            held = [token for token in await asyncio.gather(mint(self._node()), mint(self._node())) if token]
            self.survivors += held
            await asyncio.sleep(self._chance.uniform(0, 0.2))
            async with asyncio.TaskGroup() as racing:
                minting = [racing.create_task(mint(node)) for node in self._world.nodes]
                await asyncio.sleep(self._chance.uniform(0, 0.03))
                forget()
                self.survivors = [token for token in self.survivors if place not in token.places]
                self._gone += held
                is_clear = await self._calls.clear(self._node(), request, place, *told)
            self._gone += [token for token in (each.result() for each in minting) if token is not None]
            forget()  # who was minted meanwhile may be among what was cleared
            if not is_clear:
                return
        token = await mint(self._node())
        self.survivors += [] if token is None else [token]

    def _node(self) -> Node:
        return self._chance.choice(self._world.nodes)
