"""Bulk revocation: ends all tokens of an org, an app or a subject, or all that a token minted.

Rules:

* The permissions are those of the org or app that is named; of a subject or a minter, those of every
  (org, app) in which a live token was found. If none was found, they are those of the minter's own
  (org, app), or of the reserved org: an answer of "nothing" is information too.
* What the permissions were checked for is what is revoked: if another (org, app) appears before the
  transaction, nothing more is revoked and the caller is told to try again.
* A request that was answered before is answered the same, before anything is looked up.
* A cut-off never lies in the future: it would revoke tokens that are not minted yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from almond_core.decision import LIVE
from almond_core.errors import FieldError
from almond_core.model import RESERVED_ORG
from almond_server.domain.revocations import CutOff, Scope
from almond_server.domain.selections import MintedBy, OfApp, OfOrg, Selection
from almond_server.errors import SelectionChangedError
from almond_server.revocation.index.cut_offs import CutOffs
from almond_server.tokens import permissions
from almond_server.tokens.lookup import minted_record
from almond_server.tokens.revoke import RevokeResult, applied, check_reason, revoke_idempotency

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond_core.chain import VerifiedToken
    from almond_server.domain.clock import Clock
    from almond_server.domain.stores import Revocations, Tokens
    from almond_server.revocation.follower import Follower
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Caller, Callers
    from almond_server.tokens.permissions import RequiredPermission

MAX_COUNTED: Final = 10_000
"""Records of an org that `validate_only` counts: an org may have millions, and one entry revokes them all."""

_MAX_AHEAD_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class BulkRevokeOrder:
    """An order to revoke a selection; with `validate_only`, the answer only says what would happen."""

    selection: Selection
    reason: str = ""
    validate_only: bool = False

    def __post_init__(self) -> None:
        """Raise `FieldError` for a reason that cannot be stored."""
        check_reason(self.reason)


class BulkRevoker:
    """Revokes the tokens of a selection."""

    def __init__(
        self,
        callers: Callers,
        tokens: Tokens,
        revocations: Revocations,
        view: RevocationView,
        follower: Follower,
        clock: Clock,
    ) -> None:
        self._callers = callers
        self._tokens = tokens
        self._revocations = revocations
        self._view = view
        self._follower = follower
        self._clock = clock

    async def revoke(
        self, call: Call, order: BulkRevokeOrder, request: tuple[str, bytes] | None
    ) -> RevokeResult:
        """Revoke the selection; on return the revocation is durable, and this server denies the tokens.

        `request` is the request id and the content's fingerprint. Raises `FieldError`, the caller's errors,
        `RecordNotFoundError` (of a minter), `RequestReusedError`, `SelectionChangedError`, `CannotKnowError`.
        """
        callers = self._callers.authenticate(call)
        selection, now = order.selection, self._clock.now_ms() // 1000
        check_not_ahead(selection, now)
        if not order.validate_only:
            for each in callers:
                earlier = await self._answered(each, request, now)
                if earlier is not None:
                    return earlier
        otherwise = await self._place_of_none(selection)
        found: frozenset[tuple[str, str]] | None = None
        if selection.is_recursive:
            found = await self._tokens.orgs_and_apps(selection, now)
        caller = self._callers.permit(call, *required_permissions(selection, found or (), otherwise))
        if order.validate_only:
            return await self._preview(caller, selection, found, now)
        return await self._revoke(caller, order, found, request, now)

    async def _answered(
        self, caller: Caller, request: tuple[str, bytes] | None, now: int
    ) -> RevokeResult | None:
        idempotency = revoke_idempotency(caller, request)
        receipt = None if idempotency is None else await self._revocations.answered(idempotency, now)
        return None if receipt is None else await applied(receipt, self._follower, self._clock)

    async def _place_of_none(self, selection: Selection) -> tuple[str, str]:
        """Return the (org, app) whose permission lets a caller know that nothing was found."""
        if not isinstance(selection.of, MintedBy):
            return RESERVED_ORG, ""
        minter = await minted_record(self._tokens, selection.of.token_id)
        return minter.org, minter.app

    async def _preview(
        self, caller: Caller, selection: Selection, found: frozenset[tuple[str, str]] | None, now: int
    ) -> RevokeResult:
        # Only after the permission: thousands of records occupy the store's other readers.
        records = await self._tokens.select(selection, now, max_counted(selection))
        if found is not None and not {(each.org, each.app) for each in records} <= found:
            raise SelectionChangedError
        own_id = caller.token.identity.token_id
        includes_caller = any(each.token_id == own_id for each in records)
        includes_caller = includes_caller or would_cut_off(selection, caller.token)
        return RevokeResult(len(records), None, records, includes_caller)

    async def _revoke(
        self,
        caller: Caller,
        order: BulkRevokeOrder,
        found: frozenset[tuple[str, str]] | None,
        request: tuple[str, bytes] | None,
        now: int,
    ) -> RevokeResult:
        selection, idempotency = order.selection, revoke_idempotency(caller, request)
        receipt = await self._revocations.revoke_selection(
            selection, found, caller.actor, order.reason, idempotency, now
        )
        result = await applied(receipt, self._follower, self._clock)
        org = selection.of.org if isinstance(selection.of, OfOrg) else caller.token.identity.home_org
        includes_caller = self._view.standing(caller.token, org or None) is not LIVE
        return RevokeResult(result.entries, result.revision, includes_caller=includes_caller)


def check_not_ahead(selection: Selection, now: int) -> None:
    """Raise `FieldError` for a cut-off later than `now` (unix seconds): it would revoke tokens to come."""
    before = selection.issued_before_ms
    if selection.cut_off is not None and before is not None and before > (now + _MAX_AHEAD_SECONDS) * 1000:
        raise FieldError(
            f"{selection.cut_off[0]}.issued_before",
            "a time that has come; leave it out to revoke all that was issued until now",
        )


def max_counted(selection: Selection) -> int | None:
    """Return how many records `validate_only` counts; None for all."""
    return None if selection.cut_off is None or selection.is_recursive else MAX_COUNTED


def would_cut_off(selection: Selection, token: VerifiedToken) -> bool:
    """Tell whether a token would fall under the cut-off of a selection, if that has one."""
    if selection.cut_off is None:
        return False
    scope, name = selection.cut_off
    before = selection.issued_before_ms
    until_ms = token.identity.issued_at_ms if before is None else max(0, before - 1)
    cut_offs = CutOffs([CutOff(scope, name, until_ms)])
    return cut_offs.standing(token, name if scope is Scope.ORG else None) is not LIVE


def required_permissions(
    selection: Selection, found: Iterable[tuple[str, str]], otherwise: tuple[str, str]
) -> list[RequiredPermission]:
    """Return what revoking a selection requires: on the org or app that is named, or on each in `found`.

    Where nothing was found, on `otherwise`. All are (org, app).
    """
    match selection.of:
        case OfOrg(org):
            return [permissions.to_revoke(org, None)]
        case OfApp(org, app):
            return [permissions.to_revoke(org, app)]
        case _:
            return [permissions.to_revoke(org, app) for org, app in sorted(found) or [otherwise]]
