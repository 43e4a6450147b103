"""Bulk revocation: ends all tokens of an org, an app or a subject, or all that a token minted.

Rules:

* The permissions are those of the org or app that is named; of a subject or a minter, those of every
  (org, app) in which a live token was found. If none was found, they are those of the minter's own
  (org, app), or of the reserved org: an answer of "nothing" is information too.
* For a token with all that it minted, the right on the token itself is judged first, then the others, then
  it is revoked in the first transaction: from then on it mints no more.
* For what the caller's own token minted, the right to mint there does as well (`reach`).
* What the permissions were checked for is what is revoked: if another (org, app) appears before the
  transaction, nothing more is revoked and the caller is told to try again. Where the caller has the right on
  the whole org, any app of it was checked, so a minter cannot put off its end by minting for ever new apps.
* A request that was answered before is answered the same, before anything is looked up.
* A cut-off never lies in the future: it would revoke tokens that are not minted yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from almond_core import minting
from almond_core.decision import LIVE
from almond_core.errors import FieldError
from almond_core.model import ANY, RESERVED_ORG
from almond_server.domain.revocations import CutOff, Scope
from almond_server.domain.selections import MintedBy, OfApp, OfOrg, Selection, WithMinted, is_within
from almond_server.errors import SelectionChangedError
from almond_server.revocation.index.cut_offs import CutOffs
from almond_server.tokens import permissions
from almond_server.tokens.reach import Reach, orgs_below, orgs_of, permit_or_hide, there
from almond_server.tokens.revoke import RevokeResult, applied, check_reason, revoke_idempotency

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from almond_core.chain import VerifiedToken
    from almond_server.domain.clock import Clock
    from almond_server.domain.stores import Revocations, Tokens
    from almond_server.revocation.follower import Follower
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Caller, Callers
    from almond_server.tokens.permissions import RequiredPermission
    from almond_server.tokens.reach import Named

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
        self._reach = Reach(callers, tokens)

    async def revoke(
        self, call: Call, order: BulkRevokeOrder, request: tuple[str, bytes] | None
    ) -> RevokeResult:
        """Revoke the selection; on return the revocation is durable, and this server denies the tokens.

        `request` is the request id and the content's fingerprint. Raises `FieldError`, the caller's errors,
        `NotThereOrNotYoursError`, `RecordNotFoundError` (of a minter), `RequestReusedError`,
        `SelectionChangedError`, `CannotKnowError`.
        """
        callers = self._callers.authenticate(call)
        selection, now = order.selection, self._clock.now_ms() // 1000
        check_not_ahead(selection, now)
        if not order.validate_only:
            for each in callers:
                earlier = await self._answered(each, selection, request, now)
                if earlier is not None:
                    return earlier
        rights = await self._rights(call, selection)
        found: frozenset[tuple[str, str]] | None = None
        if selection.is_recursive:
            found = await self._tokens.orgs_and_apps(selection, now)
        caller = self._permit(call, rights, found or frozenset())
        within = None if found is None else self._within(call, caller, rights, found)
        if order.validate_only:
            return await self._preview(caller, selection, within, now)
        return await self._revoke(caller, order, within, request, now)

    async def _answered(
        self, caller: Caller, selection: Selection, request: tuple[str, bytes] | None, now: int
    ) -> RevokeResult | None:
        idempotency = revoke_idempotency(caller, request)
        receipt = None if idempotency is None else await self._revocations.answered(idempotency, now)
        if receipt is None:
            return None
        return replace(await applied(receipt, self._follower, self._clock), minted_left=_left(selection))

    async def _rights(self, call: Call, selection: Selection) -> _Rights:
        match selection.of:
            case WithMinted(token_id):
                reached = await self._reach.record(call, token_id, permissions.to_revoke_record)
                return _Rights(selection, reached.named)
            case MintedBy(token_id):
                return _Rights(selection, await self._reach.find(call, token_id))
            case _:
                return _Rights(selection)

    def _permit(self, call: Call, rights: _Rights, found: frozenset[tuple[str, str]]) -> Caller:
        """Return the caller; raises `NotThereOrNotYoursError` where the records decide what is required."""

        def required(token: VerifiedToken) -> Sequence[RequiredPermission]:
            return rights.required(token, found)

        if not rights.selection.is_recursive:
            return self._callers.permit_each(call, required)
        caller = permit_or_hide(self._callers, call, required)
        if rights.named is not None:
            there(rights.named.record)
        return caller

    def _within(
        self, call: Call, caller: Caller, rights: _Rights, found: frozenset[tuple[str, str]]
    ) -> frozenset[tuple[str, str]] | None:
        """Return the (org, app) for which the caller's right holds, `*` for any app; None for any org.

        Only an org caveat depends on the org: a token of any org with the right on the reserved one has it
        on every org.
        """
        token = caller.token
        if minting.orgs_left(each.raw for each in token.caveats) == [ANY] and self._callers.has(
            token, permissions.to_revoke(RESERVED_ORG, None), call
        ):
            return None
        whole = {
            (org, ANY)
            for org in {org for org, _ in found}
            if all(self._callers.has(token, each, call) for each in rights.required(token, {(org, "")}))
        }
        return found | whole

    async def _preview(
        self, caller: Caller, selection: Selection, within: frozenset[tuple[str, str]] | None, now: int
    ) -> RevokeResult:
        # Only after the permission: thousands of records occupy the store's other readers.
        records = await self._tokens.select(selection, now, max_counted(selection))
        if not is_within({(each.org, each.app) for each in records}, within):
            raise SelectionChangedError
        own_id = caller.token.identity.token_id
        includes_caller = any(each.token_id == own_id for each in records)
        includes_caller = includes_caller or would_cut_off(selection, caller.token)
        return RevokeResult(len(records), None, records, includes_caller, _left(selection))

    async def _revoke(
        self,
        caller: Caller,
        order: BulkRevokeOrder,
        within: frozenset[tuple[str, str]] | None,
        request: tuple[str, bytes] | None,
        now: int,
    ) -> RevokeResult:
        selection, idempotency = order.selection, revoke_idempotency(caller, request)
        receipt = await self._revocations.revoke_selection(
            selection, within, caller.actor, order.reason, idempotency, now
        )
        result = await applied(receipt, self._follower, self._clock)
        org = selection.of.org if isinstance(selection.of, OfOrg) else caller.token.identity.home_org
        includes_caller = self._view.standing(caller.token, org or None) is not LIVE
        return replace(result, includes_caller=includes_caller, minted_left=_left(selection))


def _left(selection: Selection) -> int | None:
    """Return how many of the tokens minted stay: of `WithMinted` none; of others it is not said."""
    return 0 if isinstance(selection.of, WithMinted) else None


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


@dataclass(frozen=True, slots=True)
class _Rights:
    """What revoking a selection requires; `named` is the token that `MintedBy` and `WithMinted` name."""

    selection: Selection
    named: Named | None = None

    def required(self, token: VerifiedToken, found: AbstractSet[tuple[str, str]]) -> list[RequiredPermission]:
        """Return what a token needs: on the org or app that is named, or on each (org, app) in `found`."""
        match self.selection.of:
            case OfOrg(org):
                return [permissions.to_revoke(org, None)]
            case OfApp(org, app):
                return [permissions.to_revoke(org, app)]
            case WithMinted() if self.named is not None:
                itself = permissions.to_revoke_record(self.named.record)
                return [self.named.required(token, itself), *self._of_minted(self.named, token, found)]
            case MintedBy() if self.named is not None:
                return self._of_minted(self.named, token, found) or [self._of_none(self.named, token)]
            case _:
                return [permissions.to_revoke(*each) for each in sorted(found) or [(RESERVED_ORG, "")]]

    def _of_minted(
        self, named: Named, token: VerifiedToken, found: AbstractSet[tuple[str, str]]
    ) -> list[RequiredPermission]:
        owns = self._owns(named, token)
        required = ((org, permissions.to_revoke(org, app)) for org, app in sorted(found))
        return [
            permissions.or_of_minter(each, orgs_below(token, org)) if owns else each for org, each in required
        ]

    def _of_none(self, named: Named, token: VerifiedToken) -> RequiredPermission:
        """Return what a token needs to know that nothing was found."""
        required = permissions.to_revoke_record(named.record)
        if named.record is None or not self._owns(named, token):
            return required
        return permissions.or_of_minter(required, orgs_of(named.record))

    def _owns(self, named: Named, token: VerifiedToken) -> bool:
        branch_id = self.selection.of.branch_id if isinstance(self.selection.of, MintedBy) else None
        return named.owns_minted_by(token, branch_id)
