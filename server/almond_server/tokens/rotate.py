"""Rotate: mints a successor of a token, which is itself revoked when an overlap has passed.

Rules:

* The successor has the caveats of the token, for the same length of time, and is minted as any token: it
  inherits the caveats of the caller's token, so it never permits more than that.
* Where it would permit less than the token, or live for another length of time, the call is refused.
* What it takes is the right to mint the successor and to revoke the token, and to name its subject. A token
  that may not revoke there rotates what it minted itself, and takes back its own rotations of that alone:
  a rotation by somebody else is a revocation to come, which it could not undo either.
* One transaction records both the successor and when the token is revoked. The relay revokes it then
  (`revocation/due_revocations`); without an overlap that transaction does.
* What the token minted keeps its minter and stays valid; what was derived from it ends with it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from almond_core import durations, kinds, minting
from almond_core.caveats import Valid
from almond_core.caveats.valid import print_time
from almond_core.errors import CaveatError, FieldError
from almond_core.model import token_id_at
from almond_core.succession import kept_of, succeed
from almond_server.domain import rotations
from almond_server.domain.minters import Minter
from almond_server.domain.records import Record
from almond_server.domain.rotations import MAX_OVERLAP_SECONDS
from almond_server.errors import CannotRotateError, SuccessorDiffersError
from almond_server.tokens import permissions
from almond_server.tokens.mint import derive, idempotency_of, issue, require_live
from almond_server.tokens.reach import Reach, permit_or_hide, there

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_core.caveats import Caveat
    from almond_core.chain import VerifiedToken
    from almond_server.domain.clock import Clock
    from almond_server.domain.rotations import Rotation, Rotations
    from almond_server.domain.stores import Idempotency, Tokens
    from almond_server.revocation.follower import Follower
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Caller, Callers
    from almond_server.tokens.expiry_policy import Policy
    from almond_server.tokens.key_ring import KeyRing
    from almond_server.tokens.permissions import RequiredPermission

ROTATABLE: Final = kinds.NAMES - {kinds.Personal.NAME}
"""The kinds that can be rotated. A personal token is one session of its user."""

_MAX_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class RotateOrder:
    """An order to rotate a token, which stays valid beside its successor for `overlap` seconds."""

    token_id: str
    overlap: int

    def __post_init__(self) -> None:
        """Raise `FieldError` for an order that no caller can give."""
        check_minted("token_id", self.token_id)
        if not 0 <= self.overlap <= MAX_OVERLAP_SECONDS:
            raise FieldError("overlap", f"0 s to {durations.spell(MAX_OVERLAP_SECONDS)}")


@dataclass(frozen=True, slots=True)
class Rotated:
    """The records of a successor and of the token that was rotated, and the secret text of the successor.

    The text and the branch id are empty if the rotation was taken back.
    """

    rotation: Rotation
    text: str = field(default="", repr=False)
    branch_id: bytes = b""


class Rotator:
    """Rotates tokens, and takes rotations back."""

    def __init__(  # noqa: PLR0913, PLR0917 - one parameter a collaborator, passed once by the composition root
        self,
        callers: Callers,
        keys: KeyRing,
        tokens: Tokens,
        rotated: Rotations,
        policy: Policy,
        view: RevocationView,
        follower: Follower,
        clock: Clock,
    ) -> None:
        self._callers = callers
        self._keys = keys
        self._tokens = tokens
        self._reach = Reach(callers, tokens)
        self._rotations = rotated
        self._policy = policy
        self._view = view
        self._follower = follower
        self._clock = clock

    async def rotate(self, call: Call, order: RotateOrder, request: tuple[str, bytes] | None) -> Rotated:
        """Rotate a token as ordered; `request` is the request id and the content's fingerprint.

        Without an overlap this server denies the token on return. Raises the caller's errors, `FieldError`,
        `TokenError` (a caller's token that cannot mint), `NotThereOrNotYoursError`, `CannotRotateError`,
        `TokenEndedError`, `AlreadyRotatedError`, `SuccessorDiffersError`, `RequestReusedError`,
        `MintedTokenEndedError` (of an earlier try), `MinterRevokedError`, `IssuedTooEarlyError`,
        `CannotKnowError`.
        """
        old, caller = await self._permitted(call, order.token_id)
        idempotency = _idempotency(caller, request)
        done = None
        if idempotency is not None:
            # First: a retry gets the same successor, however the policy was changed meanwhile.
            done = await self._rotations.answered(idempotency, old.token_id, self._now())
        if done is None:
            done = await self._begin(caller, old, order, idempotency)
        if not order.overlap:
            await self._follower.waits.until_commit(self._clock.monotonic())
        token = derive(self._keys, done.successor)
        if idempotency is not None:
            require_live(self._keys, self._view, done.successor, token.text, self._now())
        return Rotated(done, token.text, token.branch_id)

    async def take_back(self, call: Call, token_id: str, request: tuple[str, bytes] | None) -> Rotated:
        """Revoke the successor of a token that is being rotated, and let the token live.

        On return this server denies the successor. Raises as `rotate`, and `NotRotatedError`.
        """
        check_minted("token_id", token_id)
        _, caller = await self._permitted(call, token_id, takes_back=True)
        done = await self._rotations.take_back(
            token_id, caller.actor, _idempotency(caller, request), self._now()
        )
        await self._follower.waits.until_commit(self._clock.monotonic())
        return Rotated(done)

    async def _permitted(
        self, call: Call, token_id: str, *, takes_back: bool = False
    ) -> tuple[Record, Caller]:
        """Return the record of a token, and the caller that may rotate it or take its rotation back.

        A caller that may not mint and revoke there learns nothing of the token.
        """
        named = await self._reach.find(call, token_id)
        old = named.record
        to_mint = [] if old is None else [permissions.to_mint(org, old.app or None) for org in _orgs(old)]
        successor = await self._tokens.get(old.successor) if takes_back and old and old.successor else None

        def on_its_org(token: VerifiedToken) -> list[RequiredPermission]:
            to_revoke = permissions.to_revoke_record(old)
            # The minter of the token that may not revoke there undoes its own rotation, and no other.
            if not takes_back or (successor is not None and _minted(token, successor)):
                to_revoke = named.required(token, to_revoke)
            return [*to_mint, to_revoke]

        caller = permit_or_hide(self._callers, call, on_its_org)
        old = there(old)
        if old.subject:
            to_name = permissions.to_name_a_subject()
            caller = self._callers.permit_each(call, lambda token: [*on_its_org(token), to_name])
        return old, caller

    async def _begin(
        self, caller: Caller, old: Record, order: RotateOrder, request: Idempotency | None
    ) -> Rotation:
        _check_kind(old)
        rotations.live(old, self._now())
        await self._check_policy(old)
        return await issue(
            self._clock,
            lambda issued_ms: self._draw_up(caller, old, issued_ms),
            lambda successor: self._rotations.add(
                successor, old.token_id, order.overlap, caller.actor, request, self._now()
            ),
        )

    async def _check_policy(self, old: Record) -> None:
        maximum, life = await self._policy.maximum_of(old.kind, _orgs(old)), _life(old)
        if maximum is not None and (life is None or life > maximum[0]):
            seconds, whose = maximum
            lives = "without an end" if life is None else f"for {durations.spell(life)}"
            raise SuccessorDiffersError(
                f"The token is valid {lives}, and its successor may be for {durations.spell(seconds)} at "
                f"most, the maximum of {whose} for {old.kind}: raise that, or mint a new token."
            )

    def _draw_up(self, caller: Caller, old: Record, issued_ms: int) -> Record:
        now, life = issued_ms // 1000, _life(old)
        end = None if life is None else now + life
        try:
            succession = succeed(caller.token, old.caveats, end, now)
        except CaveatError as error:
            raise _no_successor(error) from None
        _check_same(succession.added, end)
        record = Record(
            token_id=token_id_at(issued_ms, secrets.token_bytes(10)),
            key_id=self._keys.minting_key_id,
            name=old.name,
            kind=old.kind,
            org=minting.home_org(succession.caveats),
            app=old.app,
            subject=old.subject,
            minter_token_id=caller.token.identity.token_id,
            minter_branch_ids=caller.token.branch_ids,
            created_at_ms=issued_ms,
            expires_at=minting.expires_at(succession.caveats),
            caveats=succession.caveats,
        )
        # Refuses a token that would be too large before anything is written.
        derive(self._keys, record)
        return record

    def _now(self) -> int:
        return self._clock.now_ms() // 1000


def check_minted(name: str, token_id: str) -> None:
    """Raise `FieldError` that names a field for the id of a derived token."""
    minted_id, slash, _ = token_id.partition("/")
    if slash:
        raise FieldError(
            name, f"a derived token has no successor: rotate {minted_id[:64]}, and narrow its successor again"
        )


def _idempotency(caller: Caller, request: tuple[str, bytes] | None) -> Idempotency | None:
    return None if request is None else idempotency_of("rotate", caller, *request)


def _minted(token: VerifiedToken, record: Record) -> bool:
    """Tell whether a token minted a record itself."""
    minter = Minter(record.minter_token_id, record.minter_branch_ids)
    return Minter(token.identity.token_id, token.branch_ids).minted([minter])


def _orgs(old: Record) -> Sequence[str]:
    """Return the orgs that a token is for, by its caveats; `["*"]` for any."""
    try:
        return minting.orgs_left(old.caveats)
    except CaveatError as error:
        raise _no_successor(error) from None


def _life(old: Record) -> int | None:
    """Return for how many seconds a token is valid in all; None if it has no end."""
    return None if old.expires_at is None else old.expires_at - old.created_at_ms // 1000


def _check_kind(old: Record) -> None:
    if old.kind == kinds.Personal.NAME:
        raise CannotRotateError(
            "A personal token is one session of its user, and has no successor: mint another one."
        )
    if old.kind not in ROTATABLE:
        raise CannotRotateError(
            "The token is of a kind that this server does not know; ask a server of the version that made it."
        )
    try:
        kept_of(old.caveats)
    except CaveatError as error:
        raise _no_successor(error) from None


def _no_successor(error: CaveatError) -> CannotRotateError:
    return CannotRotateError(f"The token has no successor: {error.sentence}. Mint a new one.")


def _check_same(added: Sequence[Caveat], end: int | None) -> None:
    """Raise `SuccessorDiffersError` for restrictions that a successor until `end` would have in addition."""
    others = [each for each in added if not isinstance(each, Valid)]
    if others:
        shown = "; ".join(each.describe()[:200] for each in others[:_MAX_SHOWN])
        raise SuccessorDiffersError(
            f"The successor would permit less than the token, because your own token adds: {shown}. "
            "Rotate it with a token without that, such as the one that minted it."
        )
    if added:
        until = "that has no end" if end is None else f"that is valid until {print_time(end)} or later"
        raise SuccessorDiffersError(
            f"The successor would end sooner than the token did, as your own token does: use one {until}, "
            "or mint a new token for the time that is left."
        )
