"""The clients of a system under faults: they mint, attenuate, revoke, ask, and write down what they saw."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable
from typing import TypeVar

import grpc

from almond.v1 import caveat_pb2, decision_pb2
from almond.v1 import token_service_pb2 as pb
from faults.history import Asked, Held, History, Minted, number_of
from faults.node import Node, Stub
from faults.unguarded import PROCESS
from faults.world import World
from support import bearer, deploy, minter, on, read_refusal

_T = TypeVar("_T")
_ACCESS = on("acme", "w", app="web")
_ANY_ACTION = caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="*"))
_PATIENCE_SECONDS = 3.0
_MOST_UNDER_WAY = 100
_CANNOT_KNOW = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
_REVOKED_CALLER = frozenset({"CALLER_UNAUTHENTICATED", "CALLER_DENIED", "MINTER_REVOKED"})


class Clients:
    """All clients of one world, with what they hold."""

    def __init__(self, world: World, history: History, chance: random.Random) -> None:
        self.world = world
        self.history = history
        self.counts: Counter[str] = Counter()
        self.last_yes: dict[int, float] = {}
        """By server: when its last yes was asked for."""

        self._chance = chance
        self._under_way: Counter[int] = Counter()
        self._names = (f"t{number}" for number in itertools.count())
        self.minters: list[Held] = []
        self._gone_minters: list[Held] = []
        self.revocable: list[Held] = []
        self.gone: list[Held] = []
        """Tokens whose revocation was at least asked for, newest last."""

    async def run(self) -> None:
        """Do what clients do until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for node in self.world.nodes:
                tasks.create_task(self._keep_asking(node))
                tasks.create_task(self._keep_minting(node))
                tasks.create_task(self._keep_revoking(node))
            tasks.create_task(self._keep_racing())

    async def ask(
        self, node: Node, token: Held, min_revision: str = "", stub: Stub | None = None
    ) -> Asked | None:
        """Ask a server about a token; None if nobody could know."""
        request = pb.VerifyRequest(token=token.text, access=_ACCESS, min_revision=min_revision)
        began = time.monotonic()
        call = (stub or node.stub).Verify(request, metadata=self.world.as_admin, timeout=_PATIENCE_SECONDS)
        answer = await self._answer(call)
        if answer is None:
            return None
        process = str((await call.trailing_metadata())[PROCESS])
        allowed = answer.outcome == decision_pb2.OUTCOME_ALLOWED
        reason = "" if allowed else ",".join(map(_reason, answer.denials)) or "NOTHING"
        number = number_of(min_revision)
        asked = Asked(node.index, process, token, began, time.monotonic(), allowed, reason, number)
        self.history.asked(asked)
        self.counts["yes" if allowed else "no"] += 1
        if allowed:
            self.last_yes[node.index] = began
        return asked

    async def mint(self, node: Node, caller: Held | None, order: pb.MintRequest) -> Held | None:
        """Mint a token, by the admin or by a minter; None if it was not acknowledged."""
        began = time.monotonic()
        metadata = self.world.as_admin if caller is None else bearer(caller.text)
        call = node.stub.Mint(order, metadata=metadata, timeout=_PATIENCE_SECONDS)
        answer = await self._answer(call, caller)
        if answer is None:
            return None
        self.counts["minted"] += 1
        token_id = answer.record.id
        handles = {token_id, f"{token_id}/{answer.branch_id}"}
        if caller is not None:
            handles |= {f"by {caller.token_id}", *(each for each in caller.handles if each.startswith("by "))}
        token = Held(next(self._names), answer.token, token_id, answer.branch_id, frozenset(handles))
        if caller is not None:
            self.history.minted(Minted(caller, token, began))
        return token

    async def attenuate(self, node: Node, token: Held) -> Held | None:
        """Narrow a token."""
        request = pb.AttenuateRequest(token=token.text, caveats=[_ANY_ACTION])
        answer = await self._answer(node.stub.Attenuate(request, timeout=_PATIENCE_SECONDS))
        if answer is None:
            return None
        handles = token.handles | {f"{token.token_id}/{answer.branch_id}"}
        return Held(next(self._names), answer.token, token.token_id, answer.branch_id, handles)

    async def revoke(self, node: Node, token: Held) -> bool:
        """Revoke a token in one of three ways; answers whether it was acknowledged."""
        branch = pb.BranchTarget(token_id=token.token_id, branch_id=token.branch_id)
        target, handle = self._chance.choice(
            [
                (pb.RevokeRequest(token_id=token.token_id), token.token_id),
                (pb.RevokeRequest(branch=branch), f"{token.token_id}/{token.branch_id}"),
                (pb.RevokeRequest(token=token.text), f"{token.token_id}/{token.branch_id}"),
            ]
        )
        self.gone.append(token)
        return await self._revoke(node, target, handle)

    async def revoke_what_it_minted(self, node: Node, token: Held) -> bool:
        """Revoke all that a token minted."""
        target = pb.RevokeRequest(minted_by=pb.MintedByTarget(token_id=token.token_id))
        return await self._revoke(node, target, f"by {token.token_id}")

    async def _revoke(self, node: Node, request: pb.RevokeRequest, handle: str) -> bool:
        before = self.history.newest
        self.history.revoking(handle, time.monotonic())
        call = node.stub.Revoke(request, metadata=self.world.as_admin, timeout=_PATIENCE_SECONDS)
        answer = await self._answer(call)
        if answer is None:
            return False
        new_after = before if answer.entries else None
        self.history.revoked(handle, time.monotonic(), answer.revision, new_after=new_after)
        self.counts["revoked"] += 1
        return True

    async def _answer(self, call: Awaitable[_T], caller: Held | None = None) -> _T | None:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            reason = read_refusal(error).reason
            is_gone = caller in self._gone_minters and reason in _REVOKED_CALLER
            if error.code() not in _CANNOT_KNOW and not is_gone:
                self.history.refused(f"{error.code()} {reason} {error.details()}")
            self.counts["unknown"] += error.code() in _CANNOT_KNOW
            return None

    async def _keep_asking(self, node: Node) -> None:
        # Without waiting for answers: what is asked of a server that is paused, it finds when it wakes up.
        async with asyncio.TaskGroup() as asking:
            while True:
                await asyncio.sleep(self._chance.uniform(0, 0.02))
                if self._under_way[node.index] < _MOST_UNDER_WAY:
                    asking.create_task(self._ask_once(node))

    async def _ask_once(self, node: Node) -> None:
        self._under_way[node.index] += 1
        try:
            await self.ask(node, self._any_token(), self._chance.choice(["", self.history.newest]))
        finally:
            self._under_way[node.index] -= 1

    def _any_token(self) -> Held:
        pools = [self.world.live, self.gone[-20:], self.gone, self.revocable]
        return self._chance.choice(self._chance.choice([pool for pool in pools if pool]))

    async def _keep_minting(self, node: Node) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.02, 0.1))
            caller = self._chance.choice([None, *self.minters, *self._gone_minters[-2:]])
            token = await self.mint(node, caller, deploy("web"))
            if token is not None and self._chance.random() < 0.5:
                token = await self.attenuate(node, token)
            if token is not None:
                self.revocable.append(token)

    async def _keep_revoking(self, node: Node) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.02, 0.15))
            if self.revocable:
                await self.revoke(node, self.revocable.pop(self._chance.randrange(len(self.revocable))))

    async def _keep_racing(self) -> None:
        """Minters that mint as fast as they can on all servers while they are revoked on one of them."""
        while True:
            made = await self.mint(self._node(), None, minter())
            if made is None:
                await asyncio.sleep(0.1)
                continue
            self.minters.append(made)
            await asyncio.sleep(self._chance.uniform(0, 0.2))
            minting = [asyncio.create_task(self._mint_once(node, made)) for node in self.world.nodes * 2]
            await asyncio.sleep(self._chance.uniform(0, 0.05))
            self.minters.remove(made)
            self._gone_minters.append(made)
            if await self._revoke(self._node(), pb.RevokeRequest(token_id=made.token_id), made.token_id):
                await self.revoke_what_it_minted(self._node(), made)
            await asyncio.gather(*minting)

    async def _mint_once(self, node: Node, caller: Held) -> None:
        token = await self.mint(node, caller, deploy("web"))
        if token is not None:
            self.gone.append(token)

    def _node(self) -> Node:
        return self._chance.choice(self.world.nodes)


def _reason(denial: decision_pb2.Denial) -> str:
    return decision_pb2.DenialReason.Name(denial.reason).removeprefix("DENIAL_REASON_")
