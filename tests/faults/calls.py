"""The calls of the clients of a system under faults; each call and its answer goes into the history."""

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
from faults.history import HeldToken, History, MintCall, RevokeCall, VerifyCall, number_of
from faults.node import Node, Stub
from faults.system import SystemUnderTest
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
    """Calls the servers for all clients, and checks what they answer."""

    def __init__(self, system: SystemUnderTest, history: History) -> None:
        self.history = history
        self.counts: Counter[str] = Counter()
        self.last_allowed: dict[int, float] = {}
        """By server: when the last Verify that it allowed was sent."""

        self.revoked_minters: list[HeldToken] = []
        """Minters that a server may refuse, as a client has at least asked for their revocation."""

        self._system = system
        self._names = (f"t{number}" for number in itertools.count())

    async def verify(
        self, node: Node, token: HeldToken, min_revision: str = "", stub: Stub | None = None
    ) -> VerifyCall | None:
        """Ask a server about a token; returns None if it did not answer, or could not know."""
        access = on(token.org, "w", app=token.app)
        request = pb.VerifyRequest(token=token.text, access=access, min_revision=min_revision)
        began = time.monotonic()
        call = (stub or node.stub).Verify(request, metadata=self._system.as_admin, timeout=_PATIENCE_SECONDS)
        answer = await self._answer(call)
        if answer is None:
            return None
        process = str((await call.trailing_metadata())[PROCESS])
        allowed = answer.outcome == decision_pb2.OUTCOME_ALLOWED
        reason = "" if allowed else ",".join(map(_reason, answer.denials)) or "NOTHING"
        number = number_of(min_revision)
        verify = VerifyCall(node.index, process, token, began, time.monotonic(), allowed, reason, number)
        self.history.add_verify(verify)
        self.counts["allowed" if allowed else "denied"] += 1
        if allowed:
            self.last_allowed[node.index] = began
        return verify

    async def mint(
        self, node: Node, caller: HeldToken | None, order: pb.MintRequest, subject: str = ""
    ) -> HeldToken | None:
        """Mint a token as the admin, or as `caller`; returns None if it was not acknowledged.

        `subject` is the subject of the token, if a client is going to revoke by that.
        """
        began = time.monotonic()
        metadata = self._system.as_admin if caller is None else bearer(caller.text)
        call = node.stub.Mint(order, metadata=metadata, timeout=_PATIENCE_SECONDS)
        answer = await self._answer(call, caller)
        if answer is None:
            return None
        self.counts["minted"] += 1
        token_id = answer.record.id
        app = order.kind.deploy.app or "web"
        handles = {token_id, f"{token_id}/{answer.branch_id}"}
        scopes = {f"org {order.org}", f"app {order.org}/{app}"} | (
            {f"subject {subject}"} if subject else set()
        )
        if caller is not None:
            handles |= {f"by {caller.token_id}", *(each for each in caller.handles if each.startswith("by "))}
            scopes |= {each for each in caller.scopes if each.startswith("subject ")}
        token = HeldToken(
            next(self._names),
            answer.token,
            token_id,
            answer.branch_id,
            frozenset(handles),
            order.org,
            app,
            frozenset(scopes),
            began,
            time.monotonic(),
        )
        self.history.add_token(token)
        if caller is not None:
            self.history.add_mint(MintCall(caller, token, began))
        return token

    async def attenuate(self, node: Node, token: HeldToken) -> HeldToken | None:
        """Attenuate a token; returns None if it was not acknowledged."""
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

    async def revoke(self, node: Node, request: pb.RevokeRequest, handle: str, *entries: str) -> bool:
        """Revoke a handle; returns whether it was acknowledged. Watchers must receive one of `entries`."""
        return await self._revoke(node, request, self.history.begin_revoke(handle, time.monotonic()), entries)

    async def bulk_revoke(self, node: Node, request: pb.RevokeRequest, scope: str, *entries: str) -> bool:
        """Revoke a whole scope; returns as `revoke`."""
        call = self.history.begin_bulk_revoke(scope, time.monotonic())
        return await self._revoke(node, request, call, entries)

    async def _revoke(
        self, node: Node, request: pb.RevokeRequest, revoke: RevokeCall, entries: tuple[str, ...]
    ) -> bool:
        before = self.history.newest
        call = node.stub.Revoke(request, metadata=self._system.as_admin, timeout=_PATIENCE_SECONDS)
        answer = await self._answer(call)
        if answer is None:
            return False
        new_after = before if answer.entries else None
        self.history.end_revoke(
            revoke, time.monotonic(), answer.revision, new_after=new_after, entries=frozenset(entries)
        )
        self.counts["revoked"] += 1
        return True

    async def _answer(self, call: Awaitable[_T], caller: HeldToken | None = None) -> _T | None:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            reason = read_refusal(error).reason
            is_revoked = caller in self.revoked_minters and reason in _REVOKED_CALLER
            if error.code() not in _CANNOT_KNOW and not is_revoked:
                self.history.add_refusal(f"{error.code()} {reason} {error.details()}")
            self.counts["unknown"] += error.code() in _CANNOT_KNOW
            return None


def _reason(denial: decision_pb2.Denial) -> str:
    return decision_pb2.DenialReason.Name(denial.reason).removeprefix("DENIAL_REASON_")
