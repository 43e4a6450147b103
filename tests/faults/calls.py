"""The calls of clients of a system under faults, each of which is written down as it was seen."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from typing import TypeVar

import grpc

from almond.v1 import caveat_pb2, decision_pb2
from almond.v1 import token_service_pb2 as pb
from faults.history import Asked, Held, History, Minted, Revoked, number_of
from faults.node import Node, Stub
from faults.system import World
from faults.unguarded import PROCESS
from support.refusals import read_refusal
from support.service import bearer, on

_T = TypeVar("_T")
_ANY_ACTION = caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="*"))
_PATIENCE_SECONDS = 3.0
_CANNOT_KNOW = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
_REVOKED_CALLER = frozenset({"CALLER_UNAUTHENTICATED", "CALLER_DENIED", "MINTER_REVOKED"})


class Calls:
    """What clients ask for, and what they got."""

    def __init__(self, world: World, history: History) -> None:
        self.history = history
        self.counts: Counter[str] = Counter()
        self.last_yes: dict[int, float] = {}
        """By server: when its last yes was asked for."""

        self.gone_minters: list[Held] = []
        """Those who may be refused, as their revocation was at least asked for."""

        self._world = world
        self._names = (f"t{number}" for number in itertools.count())

    async def ask(
        self, node: Node, token: Held, min_revision: str = "", stub: Stub | None = None
    ) -> Asked | None:
        """Ask a server about a token; None if nobody could know."""
        access = on(token.org, "w", app=token.app)
        request = pb.VerifyRequest(token=token.text, access=access, min_revision=min_revision)
        began = time.monotonic()
        call = (stub or node.stub).Verify(request, metadata=self._world.as_admin, timeout=_PATIENCE_SECONDS)
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

    async def mint(
        self, node: Node, caller: Held | None, order: pb.MintRequest, subject: str = ""
    ) -> Held | None:
        """Mint a token, by the admin or by a minter; None if it was not acknowledged.

        `subject` is whom it speaks for, if anybody is ever to revoke by that.
        """
        began = time.monotonic()
        metadata = self._world.as_admin if caller is None else bearer(caller.text)
        call = node.stub.Mint(order, metadata=metadata, timeout=_PATIENCE_SECONDS)
        answer = await self._answer(call, caller)
        if answer is None:
            return None
        self.counts["minted"] += 1
        token_id = answer.record.id
        app = order.kind.deploy.app or "web"
        handles = {token_id, f"{token_id}/{answer.branch_id}"}
        places = {f"org {order.org}", f"app {order.org}/{app}"} | (
            {f"subject {subject}"} if subject else set()
        )
        if caller is not None:
            handles |= {f"by {caller.token_id}", *(each for each in caller.handles if each.startswith("by "))}
            places |= {each for each in caller.places if each.startswith("subject ")}
        token = Held(
            next(self._names),
            answer.token,
            token_id,
            answer.branch_id,
            frozenset(handles),
            order.org,
            app,
            frozenset(places),
            began,
            time.monotonic(),
        )
        self.history.holds(token)
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
        return replace(
            token,
            name=next(self._names),
            text=answer.token,
            branch_id=answer.branch_id,
            handles=handles,
        )

    async def revoke(self, node: Node, request: pb.RevokeRequest, handle: str, *told: str) -> bool:
        """Revoke what has a handle; answers whether it was acknowledged. Watchers are told one of `told`."""
        return await self._revoke(node, request, self.history.revoking(handle, time.monotonic()), told)

    async def clear(self, node: Node, request: pb.RevokeRequest, place: str, *told: str) -> bool:
        """Revoke all that is in a place, likewise."""
        return await self._revoke(node, request, self.history.clearing(place, time.monotonic()), told)

    async def _revoke(
        self, node: Node, request: pb.RevokeRequest, revoked: Revoked, told: tuple[str, ...]
    ) -> bool:
        before = self.history.newest
        call = node.stub.Revoke(request, metadata=self._world.as_admin, timeout=_PATIENCE_SECONDS)
        answer = await self._answer(call)
        if answer is None:
            return False
        new_after = before if answer.entries else None
        self.history.revoked(
            revoked, time.monotonic(), answer.revision, new_after=new_after, entries=frozenset(told)
        )
        self.counts["revoked"] += 1
        return True

    async def _answer(self, call: Awaitable[_T], caller: Held | None = None) -> _T | None:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            reason = read_refusal(error).reason
            is_gone = caller in self.gone_minters and reason in _REVOKED_CALLER
            if error.code() not in _CANNOT_KNOW and not is_gone:
                self.history.refused(f"{error.code()} {reason} {error.details()}")
            self.counts["unknown"] += error.code() in _CANNOT_KNOW
            return None


def _reason(denial: decision_pb2.Denial) -> str:
    return decision_pb2.DenialReason.Name(denial.reason).removeprefix("DENIAL_REASON_")
