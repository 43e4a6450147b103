"""Looks tokens up: one record, a list of records, or what a token itself contains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from almond_core import chain, wire
from almond_core.decision import LIVE
from almond_core.errors import FieldError, TokenError
from almond_core.model import checked_id, token_id_bytes
from almond_server.domain.records import branch_id_of, record_id
from almond_server.domain.selections import NO_FILTER, Listing, RecordFilter
from almond_server.errors import PermissionDeniedError, RecordNotFoundError
from almond_server.tokens import permissions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_core.chain import VerifiedToken
    from almond_core.wire import Token
    from almond_server.domain.clock import Clock
    from almond_server.domain.records import Record
    from almond_server.domain.stores import Position, Tokens
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Callers
    from almond_server.tokens.key_ring import KeyRing

MAX_PAGE = 1000
DEFAULT_PAGE = 100
MAX_READ = 5000
"""The maximum number of records that a page reads to find those that it lists."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a list, and the position that the next page follows; None for the last page."""

    records: Sequence[Record]
    next: Position | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """The content of a token; the other fields are filled in only for a caller that may read its record."""

    token: Token
    is_authorized: bool = False
    """Whether the caller may read the record, and so learn whether the token is genuine."""

    genuine: VerifiedToken | None = None
    revoked: bool | None = None
    record: Record | None = None


class TokenLookup:
    """Answers GetToken, ListTokens and InspectToken."""

    def __init__(
        self, callers: Callers, keys: KeyRing, tokens: Tokens, view: RevocationView, clock: Clock
    ) -> None:
        self._callers = callers
        self._keys = keys
        self._tokens = tokens
        self._view = view
        self._clock = clock

    async def get(self, call: Call, token_id: str) -> Record:
        """Return one record. Raises `FieldError`, the caller's errors, `RecordNotFoundError`."""
        self._callers.authenticate(call)
        minted_id, slash, branch_text = token_id.partition("/")
        token_id_bytes(minted_id)
        branch_id = branch_id_of("token_id", branch_text) if slash else None
        record = await self._tokens.get(record_id(minted_id, branch_id))
        if record is None:
            raise RecordNotFoundError(
                "No token with this id was minted or registered here; `almond tokens list` shows the ids."
            )
        self._callers.permit(call, permissions.to_read(record))
        return record

    async def list(  # noqa: PLR0913, PLR0917 - the fields of the request
        self,
        call: Call,
        org: str,
        app: str | None,
        show_all: bool,  # noqa: FBT001 - the request's field
        limit: int,
        after: Position | None,
        filter: RecordFilter = NO_FILTER,  # noqa: A002 - what it is
    ) -> Page:
        """Return up to `limit` records after `after`, newest first.

        Raises `FieldError` and the caller's errors.
        """
        checked_id("org", org)
        if app is not None:
            checked_id("app", app)
        if not 0 <= limit <= MAX_PAGE:
            raise FieldError("page_size", f"0 to {MAX_PAGE}")
        self._callers.permit(call, permissions.to_list(org, app))
        listing = Listing(org, app, show_all, self._clock.now_ms() // 1000, filter)
        return await self._page(listing, after, limit or DEFAULT_PAGE)

    async def _page(self, listing: Listing, after: Position | None, limit: int) -> Page:
        # However few records are listed, a page reads a bounded number of them.
        to = await self._tokens.nth(listing, after, max(MAX_READ, limit))
        records = await self._tokens.page(listing, after, limit, to)
        return Page(records, records[-1].position if len(records) == limit else to)

    async def inspect(self, call: Call, text: str) -> Inspection:
        """Return what a token is. Raises `TokenError` for a text that is none, and `CannotKnowError`.

        A caller that may not read the token's record gets what the text contains, without an error.
        """
        token = wire.decode(text)
        if call.authorization is None:
            return Inspection(token)
        record = await self._tokens.get(token.unverified_identity.token_id)
        try:
            self._callers.permit(call, permissions.to_read(record))
        except PermissionDeniedError:
            return Inspection(token)
        try:
            verified = chain.verify(token, self._keys)
        except TokenError:
            return Inspection(token, is_authorized=True)
        revoked = self._view.standing(verified, verified.identity.home_org or None) is not LIVE
        return Inspection(token, is_authorized=True, genuine=verified, revoked=revoked, record=record)


async def minted_record(tokens: Tokens, token_id: str) -> Record:
    """Return the record of a minted token; raises `FieldError` for no token id, `RecordNotFoundError`.

    Ids are no secret, but only an authenticated caller may learn which exist: authenticate first.
    """
    token_id_bytes(token_id)
    record = await tokens.get(token_id)
    if record is None:
        raise RecordNotFoundError(
            "No token with this id was minted here; `almond tokens list` shows the ids."
        )
    return record
