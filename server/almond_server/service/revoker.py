"""Revoke: withdraw tokens for good. The store first; then this server's own view; then the others."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from almond_core import chain, minting, wire
from almond_core.decision import LIVE
from almond_core.errors import FieldError
from almond_core.model import token_id_bytes
from almond_server.errors import RecordNotFoundError
from almond_server.ports import Actor, Withdrawal
from almond_server.service import needs
from almond_server.service.minter import idempotency_of
from almond_server.service.revision import Revision

if TYPE_CHECKING:
    from almond_core.chain import VerifiedToken
    from almond_server.ports import Clock, Idempotency, Record, Revocations, Tokens
    from almond_server.service.callers import Callers
    from almond_server.service.follower import Follower
    from almond_server.service.key_ring import KeyRing
    from almond_server.service.limiter import Limiter
    from almond_server.service.view import RevocationView

MAX_REASON = 256


@dataclass(frozen=True, slots=True)
class WholeToken:
    """A token with everything derived from it."""

    token_id: str


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a token's lineage with everything derived from it."""

    token_id: str
    branch_id: bytes


@dataclass(frozen=True, slots=True)
class Possession:
    """A presented token with its descendants, and nothing above it."""

    text: str = field(repr=False)


Target: TypeAlias = WholeToken | Branch | Possession


@dataclass(frozen=True, slots=True)
class Revoked:
    """What was done: new entries, and the revision at which all of the target is withdrawn."""

    entries: int
    revision: Revision


class Revoker:
    """Withdraws tokens."""

    def __init__(  # noqa: PLR0913, PLR0917 - one parameter a collaborator, passed once by the composition root
        self,
        callers: Callers,
        keys: KeyRing,
        tokens: Tokens,
        revocations: Revocations,
        view: RevocationView,
        follower: Follower,
        limiter: Limiter,
        clock: Clock,
    ) -> None:
        """Take what revoking needs."""
        self._callers = callers
        self._keys = keys
        self._tokens = tokens
        self._revocations = revocations
        self._view = view
        self._follower = follower
        self._limiter = limiter
        self._clock = clock

    async def revoke(
        self,
        authorization: str | None,
        target: Target,
        reason: str,
        request: tuple[str, bytes] | None,
        peer: str,
    ) -> Revoked:
        """Withdraw the target; when this returns it is durable, and denied by this server.

        Raises `FieldError`, `TokenError` (a presented token that is not genuine), the caller's errors,
        `RecordNotFoundError`, `RequestReusedError`, `RateLimitedError`, `CannotKnowError`.
        """
        if len(reason) > MAX_REASON or not reason.isprintable():
            raise FieldError("reason", f"at most {MAX_REASON} printable characters")
        if isinstance(target, Possession):
            return await self._revoke_presented(authorization, target, reason, peer)
        record = await self._record(authorization, target.token_id)
        caller = self._callers.permit(authorization, needs.to_revoke(record))
        branch_id = target.branch_id if isinstance(target, Branch) else None
        withdrawal = Withdrawal(record.token_id, branch_id, record.expires_at)
        idempotency = None if request is None else idempotency_of("revoke", caller, *request)
        return await self._withdraw(withdrawal, caller.actor, reason, idempotency)

    async def _record(self, authorization: str | None, token_id: str) -> Record:
        # Ids are no secret, but whoever cannot even authenticate learns nothing about them.
        self._callers.authenticate(authorization)
        token_id_bytes(token_id)
        record = await self._tokens.get(token_id)
        if record is None:
            raise RecordNotFoundError(
                "No token with this id was minted here; `almond tokens list` shows the ids."
            )
        return record

    async def _revoke_presented(
        self, authorization: str | None, target: Possession, reason: str, peer: str
    ) -> Revoked:
        presented = chain.verify(wire.decode(target.text), self._keys)
        token_id = presented.identity.token_id
        if authorization is None:
            self._limiter.spend(f"token {token_id}", f"peer {peer}")
        else:
            self._callers.authenticate(authorization)
        if self._view.standing(presented) is not LIVE:
            return Revoked(0, self._view.revision)
        record = await self._tokens.get(token_id)
        withdrawal = _of_presented(presented, record)
        actor = Actor(f"possession of {token_id}", token_id, presented.identity.key_id, presented.branch_ids)
        return await self._withdraw(withdrawal, actor, reason, None)

    async def _withdraw(
        self, withdrawal: Withdrawal, actor: Actor, reason: str, idempotency: Idempotency | None
    ) -> Revoked:
        now = self._clock.now_ms() // 1000
        done = await self._revocations.withdraw([withdrawal], actor, reason, idempotency, now)
        await self._follower.catch_up()
        return Revoked(done.entries, Revision(done.reading.epoch, done.reading.number))


def branch_id_of(text: str) -> bytes:
    """Read a branch id: 16 bytes in 22 characters of base64url; raises `FieldError` for anything else."""
    try:
        raw = base64.urlsafe_b64decode(text + "==")
    except ValueError:
        raw = b""
    if len(raw) != 16 or base64.urlsafe_b64encode(raw).decode().rstrip("=") != text:  # noqa: PLR2004
        raise FieldError("branch.branch_id", "22 characters of base64url, as Verify and Inspect show them")
    return raw


def _of_presented(token: VerifiedToken, record: Record | None) -> Withdrawal:
    raws = tuple(caveat.raw for caveat in token.caveats)
    if record is not None and raws == record.caveats:  # as minted: its branch is the whole token
        return Withdrawal(token.identity.token_id, None, record.expires_at)
    first_party = (caveat.raw for caveat in token.caveats if caveat.body is not None)
    return Withdrawal(token.identity.token_id, token.branch_ids[-1], minting.expires_at(first_party))
