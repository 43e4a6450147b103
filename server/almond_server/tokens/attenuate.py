"""Attenuate with a record: registers a narrowed token, so that it is listed and can be revoked by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from almond_core import chain, minting, wire
from almond_core.decision import LIVE
from almond_core.errors import FieldError
from almond_server.domain.records import Record
from almond_server.errors import RecordNotFoundError
from almond_server.tokens import permissions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_core.caveats import Caveat, Label
    from almond_core.minting import NewToken
    from almond_server.domain.clock import Clock
    from almond_server.domain.stores import Tokens
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Callers
    from almond_server.tokens.key_ring import KeyRing

DEFAULT_NAME = "Derived token"


@dataclass(frozen=True, slots=True)
class Registered:
    """A narrowed token and its record."""

    token: NewToken
    record: Record


class Attenuator:
    """Narrows tokens and records the result. Narrowing alone needs no key: `minting.attenuate`."""

    def __init__(
        self, callers: Callers, keys: KeyRing, tokens: Tokens, view: RevocationView, clock: Clock
    ) -> None:
        self._callers = callers
        self._keys = keys
        self._tokens = tokens
        self._view = view
        self._clock = clock

    async def register(self, call: Call, text: str, added: Sequence[Caveat], label: Label) -> Registered:
        """Narrow the token `text` by `added` and `label`, and record the result under its parent.

        Raises `FieldError` or `TokenError` for a token that is not genuine or no longer live, the caller's
        errors, `RecordNotFoundError`, `TooManyDerivedError`, `MinterRevokedError`, `CannotKnowError`.
        """
        self._callers.authenticate(call)
        parent = chain.verify(wire.decode(text), self._keys)
        root = await self._tokens.get(parent.identity.token_id)
        if root is None:
            raise RecordNotFoundError("The token has no record here, so nothing can be listed under it.")
        caller = self._callers.permit(call, permissions.to_register(root))
        if self._view.standing(parent, parent.identity.home_org or None) is not LIVE:
            raise FieldError("token", "it has been revoked, and what is derived from it would be too")
        narrowed = minting.attenuate(text, added, label)
        child = chain.verify(wire.decode(narrowed.text), self._keys)
        first_party = tuple(caveat.raw for caveat in child.caveats if caveat.body is not None)
        record = Record(
            token_id=root.token_id,
            key_id=root.key_id,
            name=label.text or DEFAULT_NAME,
            kind=root.kind,
            org=root.org,
            app=root.app,
            subject=root.subject,
            minter_token_id=caller.token.identity.token_id,
            minter_branch_ids=caller.token.branch_ids,
            created_at_ms=self._clock.now_ms(),
            expires_at=minting.expires_at(first_party),
            caveats=first_party,
            lineage=child.branch_ids,
        )
        recorded = await self._tokens.add_derived(record, caller.actor, self._clock.now_ms() // 1000)
        return Registered(narrowed, recorded)
