"""The clients of a system under faults: what they do all the time, and what they hold."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from almond.v1 import token_service_pb2 as pb
from faults.bulk_revokes import Wide
from faults.calls import Calls
from faults.history import Held
from faults.node import Node
from faults.system import World
from support.orders import deploy, minter

_MOST_UNDER_WAY = 40


class Clients:
    """All clients of one world, with what they hold."""

    def __init__(self, world: World, calls: Calls, chance: random.Random) -> None:
        self.world = world
        self.calls = calls
        self._chance = chance
        self._under_way: Counter[int] = Counter()
        self._minters: list[Held] = []
        self._revocable: list[Held] = []
        self.gone: list[Held] = []
        """Tokens whose revocation was at least asked for, newest last."""

        self.wide = Wide(world, calls, chance, self.gone)

    async def run(self) -> None:
        """Do what clients do until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for node in self.world.nodes:
                tasks.create_task(self._keep_asking(node))
                tasks.create_task(self._keep_minting(node))
                tasks.create_task(self._keep_revoking(node))
            tasks.create_task(self._keep_racing())
            tasks.create_task(self.wide.run())

    async def _keep_asking(self, node: Node) -> None:
        # Without waiting for answers: what is asked of a server that is paused, it finds when it wakes up.
        async with asyncio.TaskGroup() as asking:
            while True:
                await asyncio.sleep(self._chance.uniform(0, 0.04))
                if self._under_way[node.index] < _MOST_UNDER_WAY:
                    asking.create_task(self._ask_once(node))

    async def _ask_once(self, node: Node) -> None:
        self._under_way[node.index] += 1
        try:
            newest = self.calls.history.newest
            await self.calls.ask(node, self._any_token(), self._chance.choice(["", newest]))
        finally:
            self._under_way[node.index] -= 1

    def _any_token(self) -> Held:
        live = [*self.world.live, *self.wide.survivors[-10:]]
        pools = [live, self.gone[-20:], self.gone, self._revocable]
        return self._chance.choice(self._chance.choice([pool for pool in pools if pool]))

    async def _keep_minting(self, node: Node) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.02, 0.1))
            caller = self._chance.choice([None, *self._minters, *self.calls.gone_minters[-2:]])
            token = await self.calls.mint(node, caller, deploy("web"))
            if token is not None and self._chance.random() < 0.5:
                token = await self.calls.attenuate(node, token)
            if token is not None:
                self._revocable.append(token)

    async def _keep_revoking(self, node: Node) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.02, 0.15))
            if self._revocable:
                await self._revoke(node, self._revocable.pop(self._chance.randrange(len(self._revocable))))

    async def _revoke(self, node: Node, token: Held) -> None:
        """Revoke a token in one of three ways."""
        whole, branch = token.token_id, f"{token.token_id}/{token.branch_id}"
        target = pb.BranchTarget(token_id=token.token_id, branch_id=token.branch_id)
        # Whoever presents a token as it was minted revokes it whole.
        is_as_minted = sum(each.startswith(f"{whole}/") for each in token.handles) == 1
        presented = {branch, whole} if is_as_minted else {branch}
        request, handle, told = self._chance.choice(
            [
                (pb.RevokeRequest(token_id=whole), whole, {whole}),
                (pb.RevokeRequest(branch=target), branch, {branch}),
                (pb.RevokeRequest(token=token.text), branch, presented),
            ]
        )
        self.gone.append(token)
        await self.calls.revoke(node, request, handle, *told)

    async def _keep_racing(self) -> None:
        """Minters that mint as fast as they can on all servers while they are revoked on one of them."""
        while True:
            made = await self.calls.mint(self._node(), None, minter())
            if made is None:
                await asyncio.sleep(0.1)
                continue
            self._minters.append(made)
            await asyncio.sleep(self._chance.uniform(0, 0.2))
            minting = [asyncio.create_task(self._mint_once(node, made)) for node in self.world.nodes * 2]
            await asyncio.sleep(self._chance.uniform(0, 0.05))
            self._minters.remove(made)
            self.calls.gone_minters.append(made)
            own = pb.RevokeRequest(token_id=made.token_id)
            if await self.calls.revoke(self._node(), own, made.token_id, made.token_id):
                minted = pb.RevokeRequest(minted_by=pb.MintedByTarget(token_id=made.token_id))
                await self.calls.revoke(self._node(), minted, f"by {made.token_id}")
            await asyncio.gather(*minting)

    async def _mint_once(self, node: Node, caller: Held) -> None:
        token = await self.calls.mint(node, caller, deploy("web"))
        if token is not None:
            self.gone.append(token)

    def _node(self) -> Node:
        return self._chance.choice(self.world.nodes)
