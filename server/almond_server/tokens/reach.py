"""Finds the record that a caller names by its id, if the caller's token reaches it.

Rules:

* A token reaches the records of the orgs and apps on which it has the right that the call requires. What it
  minted itself, and what that minted in turn, it also reaches with the right to mint there.
* A derived token is reached through its minted token, whoever registered it.
* "Not there" and "not yours" are one answer, after the same reads of the store; only a caller with the right
  on the reserved org learns which it is. The answer repeats nothing that came from the store.
* The reads before the right is judged are two, and bounded: the record, and at most `MAX_MINTERS` above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from almond_core import minting
from almond_core.model import token_id_bytes
from almond_server.domain.minters import Minter
from almond_server.domain.records import branch_id_of
from almond_server.domain.records import record_id as id_of_record
from almond_server.errors import NotThereOrNotYoursError, PermissionDeniedError, RecordNotFoundError
from almond_server.tokens import permissions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from almond_core.chain import VerifiedToken
    from almond_server.domain.records import Record
    from almond_server.domain.stores import Tokens
    from almond_server.tokens.callers import Call, Caller, Callers
    from almond_server.tokens.permissions import RequiredPermission


@dataclass(frozen=True, slots=True)
class Named:
    """What a caller named by its id, before its right is judged: the record, None if there is none."""

    record: Record | None
    minters: Sequence[Minter]

    def required(self, token: VerifiedToken, required: RequiredPermission) -> RequiredPermission:
        """Return what a token needs for the record, if others need `required`."""
        if self.record is None or not self._is_minted_by(token):
            return required
        return permissions.or_of_minter(required, orgs_of(self.record))

    def owns_minted_by(self, token: VerifiedToken, branch_id: bytes | None) -> bool:
        """Return whether a token minted all that the named one minted, or a branch of it, directly or not.

        That is so if it minted the named one, or if it is that very token or branch.
        """
        if self.record is None or self._is_minted_by(token):
            return self.record is not None
        if token.identity.token_id != self.record.token_id:
            return False
        if branch_id is None:
            return tuple(caveat.raw for caveat in token.caveats) == self.record.caveats
        return branch_id == token.branch_ids[-1]

    def _is_minted_by(self, token: VerifiedToken) -> bool:
        return Minter(token.identity.token_id, token.branch_ids).minted(self.minters)


@dataclass(frozen=True, slots=True)
class Reached:
    """A record that a caller reaches."""

    record: Record
    caller: Caller
    named: Named


class Reach:
    """Finds records by their ids for the callers that reach them."""

    def __init__(self, callers: Callers, tokens: Tokens) -> None:
        self._callers = callers
        self._tokens = tokens

    async def find(self, call: Call, record_id: str) -> Named:
        """Return what the id names, for a caller that is genuine and live: its right is yet to be judged.

        Raises `UnauthenticatedError`, and `FieldError` for no such id.
        """
        self._callers.authenticate(call)
        token_id, slash, branch_text = record_id.partition("/")
        token_id_bytes(token_id)
        branch_id = branch_id_of("token_id", branch_text) if slash else None
        record = await self._tokens.get(id_of_record(token_id, branch_id))
        return Named(record, await self._tokens.minters(token_id))

    async def record(
        self, call: Call, record_id: str, permission: Callable[[Record | None], RequiredPermission]
    ) -> Reached:
        """Return the record with that id. `permission` is what the call requires for a record, or for none.

        Raises as `find`, the caller's errors, `NotThereOrNotYoursError`, `RecordNotFoundError`.
        """
        named = await self.find(call, record_id)
        required = permission(named.record)
        caller = permit_or_hide(self._callers, call, lambda token: [named.required(token, required)])
        return Reached(there(named.record), caller, named)


def there(record: Record | None) -> Record:
    """Return the record, or raise `RecordNotFoundError`, for a caller that may know it."""
    if record is None:
        raise RecordNotFoundError(
            "No token with this id was minted here or registered; `almond tokens list` shows the ids."
        )
    return record


def permit_or_hide(
    callers: Callers, call: Call, required_of: Callable[[VerifiedToken], Sequence[RequiredPermission]]
) -> Caller:
    """Return the caller as `Callers.permit_each` does, but refuse without a word about what was found."""
    try:
        return callers.permit_each(call, required_of)
    except PermissionDeniedError:
        raise NotThereOrNotYoursError(
            "There is no such token, or it is not all yours to read or revoke: that needs the right on "
            "tokens of each org or app concerned, or the token that minted it. `almond tokens list` shows "
            "the tokens of an org, with --mine those that your own token minted."
        ) from None


def orgs_below(token: VerifiedToken, org: str) -> list[str]:
    """Return the orgs on which a token needs the right to mint, for what it minted with that home org.

    What has several orgs has an empty one; they are among the token's own, which it inherited.
    """
    return [org] if org else minting.orgs_left(caveat.raw for caveat in token.caveats)


def orgs_of(record: Record) -> list[str]:
    """Return the orgs on which a token needed the right to mint a record."""
    return minting.orgs_left(record.caveats)
