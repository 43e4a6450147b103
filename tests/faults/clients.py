"""The clients of a system under faults: they verify, mint, attenuate and revoke all the time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from almond.v1 import token_service_pb2 as pb
from faults.bulk_revokes import BulkRevokes
from faults.calls import Calls
from faults.history import HeldToken
from faults.node import Node
from faults.system import SystemUnderTest
from support.orders import deploy, minter

_MOST_UNDER_WAY = 40


class Clients:
    """All clients of one system, and the tokens that they hold."""

    def __init__(self, system: SystemUnderTest, calls: Calls, chance: random.Random) -> None:
        self.system = system
        self.calls = calls
        self._chance = chance
        self._under_way: Counter[int] = Counter()
        self._minters: list[HeldToken] = []
        self._revocable: list[HeldToken] = []
        self.revoked: list[HeldToken] = []
        """Tokens that a client has at least asked to revoke, newest last."""

        self.bulk_revokes = BulkRevokes(system, calls, chance, self.revoked)

    async def run(self) -> None:
        """Call the servers until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for node in self.system.nodes:
                tasks.create_task(self._keep_verifying(node))
                tasks.create_task(self._keep_minting(node))
                tasks.create_task(self._keep_revoking(node))
            tasks.create_task(self._keep_racing())
            tasks.create_task(self.bulk_revokes.run())

    async def _keep_verifying(self, node: Node) -> None:
        # Without waiting for answers: a server that is paused finds the calls when it goes on.
        async with asyncio.TaskGroup() as verifying:
            while True:
                await asyncio.sleep(self._chance.uniform(0, 0.04))
                if self._under_way[node.index] < _MOST_UNDER_WAY:
                    verifying.create_task(self._verify_once(node))

    async def _verify_once(self, node: Node) -> None:
        self._under_way[node.index] += 1
        try:
            newest = self.calls.history.newest
            await self.calls.verify(node, self._any_token(), self._chance.choice(["", newest]))
        finally:
            self._under_way[node.index] -= 1

    def _any_token(self) -> HeldToken:
        live = [*self.system.live, *self.bulk_revokes.survivors[-10:]]
        pools = [live, self.revoked[-20:], self.revoked, self._revocable]
        return self._chance.choice(self._chance.choice([pool for pool in pools if pool]))

    async def _keep_minting(self, node: Node) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.02, 0.1))
            caller = self._chance.choice([None, *self._minters, *self.calls.revoked_minters[-2:]])
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

    async def _revoke(self, node: Node, token: HeldToken) -> None:
        """Revoke a token in one of three ways."""
        whole, branch = token.token_id, f"{token.token_id}/{token.branch_id}"
        target = pb.BranchTarget(token_id=token.token_id, branch_id=token.branch_id)
        # A caller that presents a token as it was minted revokes it whole.
        is_as_minted = sum(each.startswith(f"{whole}/") for each in token.handles) == 1
        presented = {branch, whole} if is_as_minted else {branch}
        request, handle, entries = self._chance.choice(
            [
                (pb.RevokeRequest(token_id=whole), whole, {whole}),
                (pb.RevokeRequest(branch=target), branch, {branch}),
                (pb.RevokeRequest(token=token.text), branch, presented),
            ]
        )
        self.revoked.append(token)
        await self.calls.revoke(node, request, handle, *entries)

    async def _keep_racing(self) -> None:
        """Let minters mint on all servers as fast as they can while they are revoked on one of them."""
        while True:
            made = await self.calls.mint(self._node(), None, minter())
            if made is None:
                await asyncio.sleep(0.1)
                continue
            self._minters.append(made)
            await asyncio.sleep(self._chance.uniform(0, 0.2))
            minting = [asyncio.create_task(self._mint_once(node, made)) for node in self.system.nodes * 2]
            await asyncio.sleep(self._chance.uniform(0, 0.05))
            self._minters.remove(made)
            self.calls.revoked_minters.append(made)
            own = pb.RevokeRequest(token_id=made.token_id)
            if await self.calls.revoke(self._node(), own, made.token_id, made.token_id):
                minted = pb.RevokeRequest(minted_by=pb.MintedByTarget(token_id=made.token_id))
                await self.calls.revoke(self._node(), minted, f"by {made.token_id}")
            await asyncio.gather(*minting)

    async def _mint_once(self, node: Node, caller: HeldToken) -> None:
        token = await self.calls.mint(node, caller, deploy("web"))
        if token is not None:
            self.revoked.append(token)

    def _node(self) -> Node:
        return self._chance.choice(self.system.nodes)
