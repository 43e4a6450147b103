"""Mint: makes a new token that may do at most what its caller's token may, and records it first.

Rules:

* A new token inherits the caveats of the caller's token, so it can never do more than that.
* The record is in the store before the secret text leaves this process. The transaction that writes it
  refuses a minter that has been revoked, whatever this server's view says.
* A retry with the same request id returns the token of the first try, unless that has ended since.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from almond_core import chain, kinds, lifetimes, minting, wire
from almond_core.caveats import Valid
from almond_core.decision import LIVE
from almond_core.errors import FieldError
from almond_core.model import ANY, Identity, checked_id, token_id_at
from almond_server.domain.records import Record
from almond_server.domain.stores import Idempotency
from almond_server.errors import CannotKnowError, IssuedTooEarlyError, MintedTokenEndedError
from almond_server.tokens import permissions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almond_core.caveats import Caveat
    from almond_core.chain import VerifiedToken
    from almond_core.kinds import Kind
    from almond_server.domain.clock import Clock
    from almond_server.domain.stores import Tokens
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Caller, Callers
    from almond_server.tokens.expiry_policy import Policy
    from almond_server.tokens.key_ring import KeyRing
    from almond_server.tokens.permissions import RequiredPermission

_Added = TypeVar("_Added")

MAX_NAME = 128
_MAX_TRIES = 3
"""More are needed only if cut-offs follow each other at just these moments; the caller then tries again."""


@dataclass(frozen=True, slots=True)
class MintOrder:
    """An order for a new token.

    `org` is empty for a custom or personal kind, whose caveats name the orgs. Without `ttl_seconds` the
    default of the expiry policy or of the kind counts; 100 years are the most.
    """

    kind: Kind
    org: str
    name: str
    ttl_seconds: int | None

    def __post_init__(self) -> None:
        """Raise `FieldError` for an order that no caller could mint."""
        if self.ttl_seconds is not None and self.ttl_seconds <= 0:
            raise FieldError("ttl", "more than 0 s")
        if len(self.name) > MAX_NAME or not self.name.isprintable():
            raise FieldError("name", f"at most {MAX_NAME} printable characters")
        app = kinds.app_of(self.kind)
        if app is not None:
            checked_id("app", app)
        may_be_any = isinstance(self.kind, kinds.Service) and isinstance(self.kind.role, kinds.VerifyRole)
        has_own_orgs = isinstance(self.kind, kinds.Custom | kinds.Personal)
        if not has_own_orgs and not (may_be_any and self.org == ANY):
            checked_id("org", self.org)


@dataclass(frozen=True, slots=True)
class Minted:
    """The record of a new token, and its secret text, which is shown this once."""

    text: str = field(repr=False)
    branch_id: bytes
    record: Record


class Minter:
    """Mints tokens and records them."""

    def __init__(
        self,
        callers: Callers,
        keys: KeyRing,
        tokens: Tokens,
        policy: Policy,
        view: RevocationView,
        clock: Clock,
    ) -> None:
        self._callers = callers
        self._keys = keys
        self._tokens = tokens
        self._policy = policy
        self._view = view
        self._clock = clock

    async def mint(self, call: Call, order: MintOrder, request: tuple[str, bytes] | None) -> Minted:
        """Mint a token as ordered; `request` is the request id and the content's fingerprint.

        Raises `FieldError` or `TokenError` for an order that makes no usable token, the caller's errors,
        `RequestReusedError`, `MintedTokenEndedError`, `MinterRevokedError`, `IssuedTooEarlyError`,
        `CannotKnowError`.
        """
        self._view.require_fresh()
        own = order.kind.caveats(order.org)
        caller = self._callers.permit_each(call, lambda token: _required(order, token, own))
        idempotency = None if request is None else idempotency_of("mint", caller, *request)
        ttl = await self._ttl(caller, order, own, idempotency)
        record = await self._record(caller, order, own, ttl, idempotency)
        token = derive(self._keys, record)
        if idempotency is not None:
            require_live(self._keys, self._view, record, token.text, self._now())
        return Minted(token.text, token.branch_id, record)

    async def _record(
        self, caller: Caller, order: MintOrder, own: list[Caveat], ttl: int, request: Idempotency | None
    ) -> Record:
        return await issue(
            self._clock,
            lambda issued_ms: self._draw_up(caller, order, own, ttl, issued_ms),
            lambda record: self._tokens.add(record, caller.actor, request, self._now()),
        )

    async def _ttl(
        self, caller: Caller, order: MintOrder, own: list[Caveat], request: Idempotency | None
    ) -> int:
        asked = None if order.ttl_seconds is None else min(order.ttl_seconds, lifetimes.MAX_SECONDS)
        try:
            orgs = minting.orgs_left(minting.inherit(caller.token, own))
            return await self._policy.ttl_of(order.kind, asked, orgs)
        except FieldError:
            # A retry gets the token that was minted before the maximum was lowered: `add` returns it.
            earlier = None if request is None else await self._tokens.answered(request, self._now())
            if earlier is None or asked is None:
                raise
            return asked

    def _now(self) -> int:
        return self._clock.now_ms() // 1000

    def _draw_up(self, caller: Caller, order: MintOrder, own: list[Caveat], ttl: int, now_ms: int) -> Record:
        end = Valid.parse((None, now_ms // 1000 + ttl))
        if isinstance(order.kind, kinds.Personal):
            caveats = minting.inherit(caller.token, own, session=end)
        else:
            caveats = minting.inherit(caller.token, [*own, end])
        record = Record(
            token_id=token_id_at(now_ms, secrets.token_bytes(10)),
            key_id=self._keys.minting_key_id,
            name=order.name or order.kind.TITLE,
            kind=order.kind.NAME,
            org=minting.home_org(caveats),
            app=kinds.app_of(order.kind) or "",
            subject=kinds.subject_of(order.kind),
            minter_token_id=caller.token.identity.token_id,
            minter_branch_ids=caller.token.branch_ids,
            created_at_ms=now_ms,
            expires_at=minting.expires_at(caveats),
            caveats=caveats,
        )
        # Refuses a token that would be too large before anything is written.
        derive(self._keys, record)
        return record


async def issue(
    clock: Clock, draw_up: Callable[[int], Record], add: Callable[[Record], Awaitable[_Added]]
) -> _Added:
    """Draw up a record for an issue time, in unix milliseconds, and add it to the store.

    Drawn up again with a later time while a cut-off would cover it: another server's clock is ahead of this
    one's, or the org or subject was cut off just now. Raises `IssuedTooEarlyError` in the end.
    """
    issued_ms, tries = clock.now_ms(), 1
    while True:
        try:
            return await add(draw_up(issued_ms))
        except IssuedTooEarlyError as error:
            if tries == _MAX_TRIES:
                raise
            issued_ms, tries = max(clock.now_ms(), error.until_ms + 1), tries + 1


def derive(keys: KeyRing, record: Record) -> minting.NewToken:
    """Return the token of a record; raises `CannotKnowError` if its key is not in the ring."""
    prk = keys.prk(record.key_id)
    if prk is None:
        raise CannotKnowError("The key that this token was minted with is not loaded here; try again.")
    return minting.mint(prk, identity_of(record), record.caveats)


def require_live(keys: KeyRing, view: RevocationView, record: Record, text: str, now: int) -> None:
    """Raise `MintedTokenEndedError` if a token, which an earlier try may have minted, has ended.

    The store knows of its revocation as a whole, and the view of one of its branches.
    """
    token = chain.verify(wire.decode(text), keys)
    is_live = view.standing(token, record.org or None) is LIVE
    if record.revoked_at is not None or not is_live:
        raise MintedTokenEndedError(
            "The token that this request minted has been revoked since; use a new request_id."
        )
    if record.expires_at is not None and record.expires_at <= now:
        raise MintedTokenEndedError(
            "The token that this request minted has expired since; use a new request_id."
        )


def identity_of(record: Record) -> Identity:
    """Return the identity that a record's token carries in its identifier."""
    return Identity(record.key_id, record.token_id, record.kind, record.org, record.subject)


def idempotency_of(method: str, caller: Caller, request_id: str, fingerprint: bytes) -> Idempotency:
    """Return the idempotency key of a request id, scoped to its method and to exactly this caller's token."""
    parts = (method.encode(), caller.token.branch_ids[-1], request_id.encode())
    return Idempotency(b"\x00".join(parts), fingerprint)


def _required(order: MintOrder, caller: VerifiedToken, own: list[Caveat]) -> list[RequiredPermission]:
    orgs = [order.org] if order.org else minting.orgs_left(minting.inherit(caller, own))
    required = [permissions.to_mint(org, kinds.app_of(order.kind)) for org in orgs]
    if kinds.subject_of(order.kind):
        required.append(permissions.to_name_a_subject())
    return required
