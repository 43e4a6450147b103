"""Clients that revoke whole scopes (an org, a subject or an app) while other clients mint in them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from typing import Any

from almond.v1 import token_service_pb2 as pb
from faults.calls import Calls
from faults.history import HeldToken
from faults.node import Node
from faults.system import SystemUnderTest
from support.orders import deploy, minter

_Mint = Callable[[Node], Coroutine[Any, Any, HeldToken | None]]


class BulkRevokes:
    """Revokes scopes of its own, each twice, and mints in them before, meanwhile and afterwards."""

    def __init__(
        self, system: SystemUnderTest, calls: Calls, chance: random.Random, revoked: list[HeldToken]
    ) -> None:
        """`revoked` receives every token that was in a scope when that was revoked."""
        self._system = system
        self._calls = calls
        self._chance = chance
        self._revoked = revoked
        self._numbers = itertools.count()
        self.survivors: list[HeldToken] = []
        """Tokens that were minted after the last time that their scope was revoked."""

    async def run(self) -> None:
        """Revoke one scope after the other until cancelled."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.1, 0.5))
            name = f"cut{next(self._numbers)}"
            await self._chance.choice([self._org, self._subject, self._app])(name)

    async def _org(self, name: str) -> None:
        async def mint(node: Node) -> HeldToken | None:
            return await self._calls.mint(node, None, deploy(org=name))

        request, scope = pb.RevokeRequest(org=pb.OrgTarget(org=name)), f"org {name}"
        await self._revoke_twice(mint, request, scope, scope)
        token = next((each for each in reversed(self._revoked) if each.org == name), None)
        if token is not None:
            # For good, whatever happens to the org; watchers of another org must not receive it.
            own = pb.RevokeRequest(token_id=token.token_id)
            await self._calls.revoke(self._node(), own, token.token_id, token.token_id)

    async def _app(self, name: str) -> None:
        async def mint(node: Node) -> HeldToken | None:
            token = await self._calls.mint(node, None, deploy(name))
            if token is not None and self._chance.random() < 0.5:
                return await self._calls.attenuate(node, token)
            return token

        request = pb.RevokeRequest(app=pb.AppTarget(org="acme", app=name))
        await self._revoke_twice(mint, request, f"app acme/{name}")

    async def _subject(self, name: str) -> None:
        """Revoke the minters of one subject, and what they mint."""
        subject = f"service:{name}"
        minters: list[HeldToken] = []

        async def mint(node: Node) -> HeldToken | None:
            if not minters or self._chance.random() < 0.3:
                order = minter(name=name)
                token = await self._calls.mint(node, None, order, subject)
                minters.extend([] if token is None else [token])
                return token
            return await self._calls.mint(node, minters[-1], deploy())

        def forget() -> None:
            self._calls.revoked_minters.extend(minters)
            minters.clear()

        request, scope = pb.RevokeRequest(subject=pb.SubjectTarget(subject=subject)), f"subject {subject}"
        await self._revoke_twice(mint, request, scope, scope, forget=forget)

    async def _revoke_twice(
        self,
        mint: _Mint,
        request: pb.RevokeRequest,
        scope: str,
        *entries: str,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        for _ in range(2):
            held = [token for token in await asyncio.gather(mint(self._node()), mint(self._node())) if token]
            self.survivors += held
            await asyncio.sleep(self._chance.uniform(0, 0.2))
            async with asyncio.TaskGroup() as racing:
                minting = [racing.create_task(mint(node)) for node in self._system.nodes]
                await asyncio.sleep(self._chance.uniform(0, 0.03))
                forget()
                self.survivors = [token for token in self.survivors if scope not in token.scopes]
                self._revoked += held
                is_revoked = await self._calls.bulk_revoke(self._node(), request, scope, *entries)
            self._revoked += [token for token in (each.result() for each in minting) if token is not None]
            forget()  # a minter that was minted meanwhile may be among what was revoked
            if not is_revoked:
                return
        token = await mint(self._node())
        self.survivors += [] if token is None else [token]

    def _node(self) -> Node:
        return self._chance.choice(self._system.nodes)
