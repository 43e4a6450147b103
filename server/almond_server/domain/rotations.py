"""Rotations: a token gets a successor, and is itself revoked when an overlap has passed.

Immutable values, pure rules for every store, and the port. Times are unix seconds.

Obligations of the port besides those of all ports (`stores.py`):

* A due time is one of the store's time, as `Revocations.reading` has it.
* A rotation is pending until its token is revoked, for whatever reason, or it is taken back.
* A pending rotation ends in an ordinary revocation of its token, with a revision and an audit row: by the
  actor that rotated it, with the reason `reason(successor)`. A token that is revoked before has nothing more
  done to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from almond_core.caveats.valid import print_time
from almond_server.errors import AlreadyRotatedError, NotRotatedError, RecordNotFoundError, TokenEndedError

if TYPE_CHECKING:
    from almond_server.domain.records import Record
    from almond_server.domain.stores import Actor, Idempotency

MAX_OVERLAP_SECONDS: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Rotation:
    """The records of a token that was rotated, and of its successor."""

    successor: Record
    rotated: Record


@dataclass(frozen=True, slots=True)
class NextDue:
    """The store's time, and when the next pending rotation is due, or was; None if none is pending."""

    store_time: int
    due: int | None


def reason(successor_id: str) -> str:
    """Return the reason with which a rotated token is revoked."""
    return f"rotated: succeeded by {successor_id}"


def rotated_detail(successor_id: str, due: int) -> str:
    """Return the detail of the audit row of a rotation."""
    return f"succeeded by {successor_id}, revoked on {print_time(due)}"


def taken_back_reason(rotated_id: str) -> str:
    """Return the reason with which a successor is revoked whose rotation is taken back."""
    return f"the rotation of {rotated_id} was taken back"


def live(record: Record | None, now: int) -> Record:
    """Return the record of a token that can be rotated: it is neither revoked nor expired, nor rotated.

    Raises `RecordNotFoundError`, `TokenEndedError` or `AlreadyRotatedError` for any other.
    """
    found = _found(record)
    if found.revoked_at is not None:
        raise TokenEndedError("The token is revoked: nothing is left to rotate. Mint a new one.")
    if found.expires_at is not None and found.expires_at <= now:
        raise TokenEndedError("The token has expired: nothing is left to rotate. Mint a new one.")
    if found.revoke_due is not None:
        raise AlreadyRotatedError(
            f"The token was rotated already: {found.successor} succeeds it, and it is revoked on "
            f"{print_time(found.revoke_due)}. Rotate {found.successor}, or take that rotation back first."
        )
    return found


def pending(record: Record | None) -> Record:
    """Return the record of a token whose rotation is pending.

    Raises `RecordNotFoundError`, `TokenEndedError` or `NotRotatedError` for any other.
    """
    found = _found(record)
    if found.revoked_at is not None:
        raise TokenEndedError("The token is revoked already: no rotation can be taken back.")
    if found.revoke_due is None:
        raise NotRotatedError("The token is not being rotated: nothing is left to take back.")
    return found


def _found(record: Record | None) -> Record:
    if record is None:
        raise RecordNotFoundError("No token with this id was minted here.")
    return record


class Rotations(Protocol):
    """The rotations that were begun, and those that are due."""

    async def add(
        self,
        successor: Record,
        rotated_id: str,
        overlap: int,
        actor: Actor,
        request: Idempotency | None,
        now: int,
    ) -> Rotation:
        """Record a successor, and that the token it succeeds is revoked in `overlap` seconds.

        With an overlap of 0 it is revoked in this transaction. In the same transaction, in this order:

        1. Raise `MinterRevokedError` if the actor is revoked, as in `Tokens.add`.
        2. Return what an earlier call of the same request added, if there was one.
        3. Raise as `live`, for the record of `rotated_id`.
        4. Raise `IssuedTooEarlyError` as in `Tokens.add`.

        Audited as `token.minted` as in `Tokens.add`, and as `token.rotated`, target the rotated token's id,
        detail `rotated_detail`.
        """
        ...

    async def answered(self, request: Idempotency, rotated_id: str, now: int) -> Rotation | None:
        """Return what a request to rotate that token, or to take it back, got; None if there was none.

        Raises `RequestReusedError`.
        """
        ...

    async def take_back(
        self, rotated_id: str, actor: Actor, request: Idempotency | None, now: int
    ) -> Rotation:
        """Revoke the successor of a token, and let the token live as if it had not been rotated.

        In the same transaction, in this order:

        1. Raise `MinterRevokedError` if the actor is revoked, as in `Tokens.add`.
        2. Return what an earlier call of the same request took back, if there was one.
        3. Raise as `pending`, for the record of `rotated_id`.

        Audited as `token.rotation_taken_back`, target the token's id, detail the successor's; and, unless the
        successor was revoked before, as any revocation.
        """
        ...

    async def next_due(self, now: int) -> NextDue:
        """Return the time of the store, and when the first pending rotation is due."""
        ...

    async def carry_out(self, limit: int, now: int) -> int:
        """Revoke the tokens of up to `limit` pending rotations that are due, under one revision.

        Returns how many rotations are no longer pending. A token under a cut-off is revoked already.
        """
        ...
