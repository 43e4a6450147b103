"""Looks tokens up: one record, a list of records, or what a token itself contains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from almond_core import chain, wire
from almond_core.decision import LIVE
from almond_core.errors import FieldError, TokenError
from almond_core.model import checked_id
from almond_server.domain.minters import Minter
from almond_server.domain.selections import NO_FILTER, Listing, RecordFilter
from almond_server.errors import PermissionDeniedError, RecordNotFoundError
from almond_server.tokens import permissions
from almond_server.tokens.reach import Reach, orgs_of

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
        self._reach = Reach(callers, tokens)

    async def get(self, call: Call, token_id: str) -> Record:
        """Return one record.

        Raises `FieldError`, the caller's errors, `NotThereOrNotYoursError`, `RecordNotFoundError`.
        """
        return (await self._reach.record(call, token_id, permissions.to_read)).record

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
        listing = replace(self._listing(org, app, limit, show_all=show_all), filter=filter)
        self._callers.permit(call, permissions.to_list(org, app))
        return await self._page(listing, after, limit or DEFAULT_PAGE)

    async def list_mine(  # noqa: PLR0913, PLR0917 - the fields of the request
        self,
        call: Call,
        org: str,
        app: str | None,
        show_all: bool,  # noqa: FBT001 - the request's field
        limit: int,
        after: Position | None,
        filter: RecordFilter = NO_FILTER,  # noqa: A002 - what it is
    ) -> Page:
        """Return, as `list` does, what the first token of the call minted and what that minted in turn.

        The org may be empty. The token must have the right to read each record, or to mint what it is about.
        """
        if org:
            checked_id("org", org)
        listing = self._listing(org, app, limit, show_all=show_all)
        token = self._callers.identify(call).token
        minter = Minter(token.identity.token_id, token.branch_ids)
        page = await self._page(replace(listing, filter=filter, mine=minter), after, limit or DEFAULT_PAGE)
        required = dict.fromkeys(
            permissions.or_of_minter(permissions.to_read(each), orgs_of(each)) for each in page.records
        )
        lacking = next((each for each in required if not self._callers.has(token, each, call)), None)
        if lacking is not None:
            raise PermissionDeniedError(
                f"Your own token does not permit this call: it needs {lacking}, or the right to mint there. "
                "--org and --app select others of the tokens that it minted."
            )
        return page

    def _listing(self, org: str, app: str | None, limit: int, *, show_all: bool) -> Listing:
        if app is not None:
            checked_id("app", app)
        if not 0 <= limit <= MAX_PAGE:
            raise FieldError("page_size", f"0 to {MAX_PAGE}")
        return Listing(org, app, show_all, self._clock.now_ms() // 1000)

    async def _page(self, listing: Listing, after: Position | None, limit: int) -> Page:
        # However few records are listed, a page reads a bounded number of them. What one token minted is not
        # looked for among all others.
        to = None if listing.mine else await self._tokens.nth(listing, after, max(MAX_READ, limit))
        records = await self._tokens.page(listing, after, limit, to)
        return Page(records, records[-1].position if len(records) == limit else to)

    async def inspect(self, call: Call, text: str) -> Inspection:
        """Return what a token is. Raises `TokenError` for a text that is none, and `CannotKnowError`.

        A caller that may not read the token's record gets what the text contains, without an error.
        """
        token = wire.decode(text)
        if call.authorization is None:
            return Inspection(token)
        token_id = token.unverified_identity.token_id
        record: Record | None = None
        try:
            record = (await self._reach.record(call, token_id, permissions.to_read)).record
        except PermissionDeniedError:
            return Inspection(token)
        except RecordNotFoundError:
            # Of a token without a record, such as one from another store, the chain is checked all the same.
            pass
        try:
            verified = chain.verify(token, self._keys)
        except TokenError:
            return Inspection(token, is_authorized=True)
        revoked = self._view.standing(verified, verified.identity.home_org or None) is not LIVE
        return Inspection(token, is_authorized=True, genuine=verified, revoked=revoked, record=record)
