"""Revoke: revoke tokens for good. The store first; then this server's own view; then the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from almond_core import chain, minting, wire
from almond_core.decision import LIVE
from almond_core.errors import FieldError
from almond_core.model import RESERVED_ORG, token_id_bytes
from almond_server.domain.records import record_id
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import Revocation
from almond_server.domain.selections import MintedBy, OfOrg, Selection
from almond_server.errors import RecordNotFoundError, SelectionChangedError
from almond_server.tokens import permissions
from almond_server.tokens.bulk_revoke import check_not_ahead, most_told, needs_of, would_cut_off
from almond_server.tokens.callers import actor_of
from almond_server.tokens.mint import idempotency_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_core.chain import VerifiedToken
    from almond_server.domain.clock import Clock
    from almond_server.domain.records import Record
    from almond_server.domain.revocations import RevokeReceipt
    from almond_server.domain.stores import Revocations, Tokens
    from almond_server.revocation.follower import Follower
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Callers
    from almond_server.tokens.key_ring import KeyRing
    from almond_server.tokens.rate_limit import Limiter

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


Target: TypeAlias = WholeToken | Branch | Possession | Selection


@dataclass(frozen=True, slots=True)
class RevokeOrder:
    """What to revoke and why; `validate_only`: only say what that would be."""

    target: Target
    reason: str = ""
    validate_only: bool = False

    def __post_init__(self) -> None:
        """Raise `FieldError` for a reason that cannot be kept."""
        if len(self.reason) > MAX_REASON or not self.reason.isprintable():
            raise FieldError("reason", f"at most {MAX_REASON} printable characters")


@dataclass(frozen=True, slots=True)
class RevokeResult:
    """What was done: new entries, and the revision at which all of the target is revoked.

    If only asked: what would be done, with the records it is about, and no revision.
    """

    entries: int
    revision: Revision | None
    records: Sequence[Record] = ()
    includes_caller: bool = False


class Revoker:
    """Revokes tokens."""

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

    async def revoke(self, call: Call, order: RevokeOrder, request: tuple[str, bytes] | None) -> RevokeResult:
        """Revoke the target; when this returns it is durable, and denied by this server.

        Raises `FieldError`, `TokenError` (a presented token that is not genuine), the caller's errors,
        `RecordNotFoundError`, `RequestReusedError`, `RateLimitedError`, `CannotKnowError`.
        """
        match order.target:
            case Possession():
                return await self._revoke_presented(call, order.target, order)
            case Selection():
                return await self._revoke_selection(call, order.target, order, request)
            case WholeToken(token_id):
                return await self._revoke_one(call, token_id, None, order, request)
            case Branch(token_id, branch_id):
                return await self._revoke_one(call, token_id, branch_id, order, request)

    async def _revoke_one(
        self,
        call: Call,
        token_id: str,
        branch_id: bytes | None,
        order: RevokeOrder,
        request: tuple[str, bytes] | None,
    ) -> RevokeResult:
        record = await self._record(call, token_id)
        caller = self._callers.permit(call, permissions.to_revoke(record.org, record.app))
        includes_caller = _is_of(caller.token, token_id, branch_id)
        if order.validate_only:
            shown = record if branch_id is None else await self._tokens.get(record_id(token_id, branch_id))
            await self._follower.catch_up()
            is_over = self._view.is_revoked(token_id, branch_id or b"")
            return RevokeResult(int(not is_over), None, [] if shown is None else [shown], includes_caller)
        revocation = Revocation(record.token_id, branch_id, record.expires_at)
        idempotency = None if request is None else idempotency_of("revoke", caller, *request)
        done = await self._revocations.revoke(
            [revocation], caller.actor, order.reason, idempotency, self._clock.now_ms() // 1000
        )
        return await self._revoked(done, includes_caller=includes_caller)

    async def _revoke_selection(
        self, call: Call, selection: Selection, order: RevokeOrder, request: tuple[str, bytes] | None
    ) -> RevokeResult:
        genuine = self._callers.authenticate(call)
        now = self._clock.now_ms() // 1000
        check_not_ahead(selection, now)
        if request is not None and not order.validate_only:
            for each in genuine:
                done = await self._revocations.answered(idempotency_of("revoke", each, *request), now)
                if done is not None:
                    return await self._revoked(done)
        # Whoever finds nothing learns that much only with a right of the place where it would be.
        place = (RESERVED_ORG, "")
        if isinstance(selection.of, MintedBy):
            minter = await self._record(call, selection.of.token_id)
            place = (minter.org, minter.app)
        found: frozenset[tuple[str, str]] = frozenset()
        if selection.is_recursive:
            found = await self._tokens.orgs_and_apps(selection, now)
        caller = self._callers.permit(call, *needs_of(selection, found, place))
        if order.validate_only:
            # Only now: reading thousands of records holds up the store's other readers.
            shown = await self._tokens.select(selection, now, most_told(selection))
            if selection.is_recursive and not {(each.org, each.app) for each in shown} <= found:
                raise SelectionChangedError("Something was minted meanwhile; look at it and try again.", 0.1)
            own_id = caller.token.identity.token_id
            is_shown = any(each.token_id == own_id for each in shown)
            return RevokeResult(len(shown), None, shown, is_shown or would_cut_off(selection, caller.token))
        within = found if selection.is_recursive else None
        idempotency = None if request is None else idempotency_of("revoke", caller, *request)
        done = await self._revocations.revoke_selection(
            selection, within, caller.actor, order.reason, idempotency, now
        )
        revoked = await self._revoked(done)
        org = selection.of.org if isinstance(selection.of, OfOrg) else caller.token.identity.home_org
        return replace(revoked, includes_caller=self._view.standing(caller.token, org or None) is not LIVE)

    async def _record(self, call: Call, token_id: str) -> Record:
        # Ids are no secret, but whoever cannot even authenticate learns nothing about them.
        self._callers.authenticate(call)
        token_id_bytes(token_id)
        record = await self._tokens.get(token_id)
        if record is None:
            raise RecordNotFoundError(
                "No token with this id was minted here; `almond tokens list` shows the ids."
            )
        return record

    async def _revoke_presented(self, call: Call, target: Possession, order: RevokeOrder) -> RevokeResult:
        presented = chain.verify(wire.decode(target.text), self._keys)
        token_id = presented.identity.token_id
        genuine = () if call.authorization is None else self._callers.authenticate(call)
        includes_caller = any(_is_of(each.token, token_id, presented.branch_ids[-1]) for each in genuine)
        if self._view.standing(presented, presented.identity.home_org or None) is not LIVE:
            revision = None if order.validate_only else self._view.revision
            return RevokeResult(0, revision, includes_caller=includes_caller)
        if order.validate_only:
            return RevokeResult(1, None, includes_caller=includes_caller)
        # Each of these writes an entry that stays: nobody gets to make them without bound.
        keys = [f"token {token_id}"] if genuine else [f"token {token_id}", f"peer {call.peer}"]
        self._limiter.spend(*keys)
        record = await self._tokens.get(token_id)
        revocation = _of_presented(presented, record)
        actor = actor_of(presented, f"possession of {token_id}")
        now = self._clock.now_ms() // 1000
        return await self._revoked(
            await self._revocations.revoke([revocation], actor, order.reason, None, now),
            includes_caller=includes_caller,
        )

    async def _revoked(self, done: RevokeReceipt, *, includes_caller: bool = False) -> RevokeResult:
        await self._follower.waits.until_commit(self._clock.monotonic())
        revision = Revision(done.epoch, done.number)
        return RevokeResult(done.entries, revision, includes_caller=includes_caller)


def _is_of(token: VerifiedToken, token_id: str, branch_id: bytes | None) -> bool:
    """Tell whether a token is, or derives from, the one that is revoked."""
    return token.identity.token_id == token_id and (branch_id is None or branch_id in token.branch_ids)


def _of_presented(token: VerifiedToken, record: Record | None) -> Revocation:
    raws = tuple(caveat.raw for caveat in token.caveats)
    if record is not None and raws == record.caveats:  # as minted: its branch is the whole token
        return Revocation(token.identity.token_id, None, record.expires_at)
    first_party = (caveat.raw for caveat in token.caveats if caveat.body is not None)
    return Revocation(token.identity.token_id, token.branch_ids[-1], minting.expires_at(first_party))
