"""Revoke: ends one token, one branch of it, or the token that the caller presents.

First the durable store, then this server's own view, then the other servers. What is wider (an org, an app, a
subject, all that a token minted) is in `bulk_revoke`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from almond_core import chain, minting, wire
from almond_core.decision import LIVE
from almond_core.errors import FieldError
from almond_core.model import token_id_bytes
from almond_server.domain.records import record_id
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import Revocation
from almond_server.domain.selections import MintedBy
from almond_server.tokens import permissions
from almond_server.tokens.callers import actor_of
from almond_server.tokens.mint import idempotency_of
from almond_server.tokens.minted_left import MintedLeft, Viewer
from almond_server.tokens.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_core.chain import VerifiedToken
    from almond_server.domain.clock import Clock
    from almond_server.domain.records import Record
    from almond_server.domain.revocations import RevokeReceipt
    from almond_server.domain.stores import Idempotency, Revocations, Tokens
    from almond_server.revocation.follower import Follower
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Caller, Callers
    from almond_server.tokens.key_ring import KeyRing
    from almond_server.tokens.rate_limit import Limiter
    from almond_server.tokens.unused import Unused

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
class RevokeOrder:
    """An order to revoke a token or branch; with `validate_only`, the answer only says what would happen."""

    target: Target
    reason: str = ""
    validate_only: bool = False
    unused_since: int | None = None
    """Revoke only if the token is unused since then, in unix seconds; for a `WholeToken` only."""

    def __post_init__(self) -> None:
        """Raise `FieldError` for a reason that cannot be stored."""
        check_reason(self.reason)


@dataclass(frozen=True, slots=True)
class RevokeResult:
    """The result of Revoke: how many entries are new, and the revision at which all of the target is revoked.

    With `validate_only`: how many would be new, the records that they are about, and no revision. A branch
    has its record in any case, as it was before, if it was ever registered.
    """

    entries: int
    revision: Revision | None
    records: Sequence[Record] = ()
    includes_caller: bool = False
    minted_left: int | None = None
    """How many live tokens the revoked one minted itself, which stay; None if this could not be counted."""


class Revoker:
    """Revokes single tokens and branches."""

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
        unused: Unused,
    ) -> None:
        """Spend `limiter` on revocations by possession."""
        self._unused = unused
        self._callers = callers
        self._keys = keys
        self._tokens = tokens
        self._revocations = revocations
        self._view = view
        self._follower = follower
        self._limiter = limiter
        self._clock = clock
        self._reach = Reach(callers, tokens)
        self._minted_left = MintedLeft(callers, tokens)

    async def revoke(self, call: Call, order: RevokeOrder, request: tuple[str, bytes] | None) -> RevokeResult:
        """Revoke the target; on return the revocation is durable, and this server denies the target.

        `request` is the request id and the content's fingerprint. Raises `FieldError`, `TokenError` (a
        presented token that is not genuine), the caller's errors, `NotThereOrNotYoursError`,
        `RecordNotFoundError`, `RequestReusedError`, `RateLimitedError`, `CannotKnowError`.
        """
        match order.target:
            case Possession():
                return await self._revoke_presented(call, order.target, order)
            case WholeToken(token_id):
                return await self._revoke_by_id(call, token_id, None, order, request)
            case Branch(token_id, branch_id):
                return await self._revoke_by_id(call, token_id, branch_id, order, request)

    async def _revoke_by_id(
        self,
        call: Call,
        token_id: str,
        branch_id: bytes | None,
        order: RevokeOrder,
        request: tuple[str, bytes] | None,
    ) -> RevokeResult:
        self._callers.authenticate(call)
        # Only a minted token's id: a derived one is named by its branch.
        token_id_bytes(token_id)
        reached = await self._reach.record(call, token_id, permissions.to_revoke_record)
        record, caller = reached.record, reached.caller
        minter = MintedBy(token_id, branch_id)
        viewer = Viewer(caller.token, is_own=reached.named.owns_minted_by(caller.token, branch_id))
        records = await self._branch_record(token_id, branch_id)
        includes_caller = _is_of(caller.token, token_id, branch_id)
        if order.unused_since is not None:
            await self._unused.check(record, order.unused_since, self._now())
        if order.validate_only:
            await self._follower.catch_up()
            is_revoked = self._view.is_revoked(token_id, branch_id or b"")
            left = await self._minted_left.count(call, minter, [viewer], self._now())
            found = [record] if branch_id is None else records
            return RevokeResult(int(not is_revoked), None, found, includes_caller, left)
        revocation = Revocation(record.token_id, branch_id, record.expires_at)
        idempotency, now = revoke_idempotency(caller, request), self._now()
        if order.unused_since is None:
            receipt = await self._revocations.revoke(
                [revocation], caller.actor, order.reason, idempotency, now
            )
        else:
            receipt = await self._revocations.revoke_if_unused(
                revocation, order.unused_since, caller.actor, order.reason, idempotency, now
            )
        done = await applied(receipt, self._follower, self._clock, includes_caller=includes_caller)
        left = await self._minted_left.count(call, minter, [viewer], self._now())
        return replace(done, records=records, minted_left=left)

    async def _branch_record(self, token_id: str, branch_id: bytes | None) -> list[Record]:
        """Return the record of a branch, if it was registered: without one, it may exist or not."""
        record = None if branch_id is None else await self._tokens.get(record_id(token_id, branch_id))
        return [] if record is None else [record]

    def _now(self) -> int:
        return self._clock.now_ms() // 1000

    async def _revoke_presented(self, call: Call, target: Possession, order: RevokeOrder) -> RevokeResult:
        presented = chain.verify(wire.decode(target.text), self._keys)
        token_id = presented.identity.token_id
        callers = () if call.authorization is None else self._callers.authenticate(call)
        includes_caller = any(_is_of(each.token, token_id, presented.branch_ids[-1]) for each in callers)
        minter = MintedBy(token_id, presented.branch_ids[-1])
        viewers = [Viewer(each.token, is_own=False) for each in callers]
        if self._view.standing(presented, presented.identity.home_org or None) is not LIVE:
            revision = None if order.validate_only else self._view.revision
            left = await self._minted_left.count(call, minter, viewers, self._now())
            return RevokeResult(0, revision, includes_caller=includes_caller, minted_left=left)
        # Until now its holder could list what it minted.
        viewers.append(Viewer(presented, is_own=True))
        if order.validate_only:
            left = await self._minted_left.count(call, minter, viewers, self._now())
            return RevokeResult(1, None, includes_caller=includes_caller, minted_left=left)
        # Each revocation writes an entry that stays, so a holder may make a bounded number of them.
        keys = [f"token {token_id}"] if callers else [f"token {token_id}", f"peer {call.peer}"]
        self._limiter.spend(*keys)
        revocation = _of_presented(presented, await self._tokens.get(token_id))
        actor = actor_of(presented, f"possession of {token_id}")
        receipt = await self._revocations.revoke([revocation], actor, order.reason, None, self._now())
        done = await applied(receipt, self._follower, self._clock, includes_caller=includes_caller)
        # Only now, when it can mint no more.
        left = await self._minted_left.count(call, minter, viewers, self._now())
        return replace(done, minted_left=left)


def check_reason(reason: str) -> None:
    """Raise `FieldError` for a reason that cannot be stored."""
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise FieldError("reason", f"at most {MAX_REASON} printable characters")


def revoke_idempotency(caller: Caller, request: tuple[str, bytes] | None) -> Idempotency | None:
    """Return the idempotency key of a caller's Revoke; None without a request id."""
    return None if request is None else idempotency_of("revoke", caller, *request)


async def applied(
    receipt: RevokeReceipt, follower: Follower, clock: Clock, *, includes_caller: bool = False
) -> RevokeResult:
    """Wait until this server's view has applied a committed revocation, and return the result.

    Raises `CannotKnowError` if the store stops answering before that.
    """
    await follower.waits.until_commit(clock.monotonic())
    revision = Revision(receipt.epoch, receipt.number)
    return RevokeResult(receipt.entries, revision, includes_caller=includes_caller)


def _is_of(token: VerifiedToken, token_id: str, branch_id: bytes | None) -> bool:
    """Tell whether a token is, or derives from, the one that is revoked."""
    return token.identity.token_id == token_id and (branch_id is None or branch_id in token.branch_ids)


def _of_presented(token: VerifiedToken, record: Record | None) -> Revocation:
    caveats = tuple(caveat.raw for caveat in token.caveats)
    # A token presented as it was minted is revoked whole: its branch is all there is.
    if record is not None and caveats == record.caveats:
        return Revocation(token.identity.token_id, None, record.expires_at)
    first_party = (caveat.raw for caveat in token.caveats if caveat.body is not None)
    return Revocation(token.identity.token_id, token.branch_ids[-1], minting.expires_at(first_party))
