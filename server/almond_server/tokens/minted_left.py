"""Counts what a revoked token had minted and what stays valid, as far as those who ask may see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from almond_server.errors import CannotKnowError
from almond_server.tokens import permissions
from almond_server.tokens.reach import orgs_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_core.chain import VerifiedToken
    from almond_server.domain.selections import MintedBy
    from almond_server.domain.stores import Tokens
    from almond_server.tokens.callers import Call, Callers

MAX_COUNTED: Final = 1000


@dataclass(frozen=True, slots=True)
class Viewer:
    """A token whose right decides what is counted; `is_own`: it minted all of that itself."""

    token: VerifiedToken
    is_own: bool


class MintedLeft:
    """Counts the live tokens that a token or branch minted itself."""

    def __init__(self, callers: Callers, tokens: Tokens) -> None:
        self._callers = callers
        self._tokens = tokens

    async def count(self, call: Call, minter: MintedBy, viewers: Sequence[Viewer], now: int) -> int | None:
        """Return how many there are that one of the viewers may see, at most `MAX_COUNTED`.

        None if the store cannot tell: the revocation that it is about may have been made already.
        """
        try:
            counted = await self._tokens.count_minted(minter, now)
        except CannotKnowError:
            return None
        if counted is None:
            return None
        seen = (
            number
            for (org, app), number in counted.items()
            if any(self._sees(call, minter, each, org, app) for each in viewers)
        )
        return min(MAX_COUNTED, sum(seen))

    def _sees(self, call: Call, minter: MintedBy, viewer: Viewer, org: str, app: str) -> bool:
        required = permissions.to_read_in(org, app)
        if viewer.is_own:
            required = permissions.or_of_minter(required, orgs_below(viewer.token, org))
        # The token that this call has revoked was live when it began.
        is_revoked_now = viewer.token.identity.token_id == minter.token_id
        may = self._callers.clears if is_revoked_now else self._callers.has
        return may(viewer.token, required, call)
