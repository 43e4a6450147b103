"""The errors of the server besides a bad token or field: refusals of calls, and errors at its start.

server/ARCHITECTURE.md, "Errors", says which kinds of errors exist. Only `rpc/errors.py` knows their gRPC
status codes.
"""

from __future__ import annotations

from almond_core.errors import AlmondError


class RefusedError(AlmondError):
    """A refusal: a machine-readable `reason`, and a `sentence` that tells a person what to do."""

    reason: str = "REFUSED"

    def __init__(self, sentence: str) -> None:
        """Refuse with a sentence, which must hold no secret."""
        super().__init__(sentence)
        self.sentence = sentence


class RetryAfter(AlmondError):  # noqa: N818 - a mixin of refusals, never raised by itself
    """Mixin of refusals of calls that can succeed when repeated after `retry_after` seconds."""

    def __init__(self, sentence: str, retry_after: float = 0.5) -> None:
        """Refuse with a sentence, and a number of seconds to wait."""
        super().__init__(sentence)
        self.retry_after = retry_after


class UnauthenticatedError(RefusedError):
    """The caller presented no token, or no genuine one."""

    reason = "CALLER_UNAUTHENTICATED"


class PermissionDeniedError(RefusedError):
    """The caller's token is genuine but does not permit this call."""

    reason = "CALLER_DENIED"


class RecordNotFoundError(RefusedError):
    """The store has no record of a token with that id."""

    reason = "TOKEN_NOT_FOUND"


class PolicyNotFoundError(RefusedError):
    """No expiry rule is set for that org and kind."""

    reason = "POLICY_NOT_FOUND"


class TooManyDerivedError(RefusedError):
    """The minted token already has the maximum number of registered derived tokens."""

    reason = "TOO_MANY_DERIVED"


class MinterRevokedError(RefusedError):
    """The caller's token was revoked before the store could record the token that it minted."""

    reason = "MINTER_REVOKED"


class RequestReusedError(RefusedError):
    """The caller used the same `request_id` for a request with other content within 24 hours."""

    reason = "REQUEST_ID_REUSED"


class TokenEndedError(RefusedError):
    """The token that the call is about is revoked or has expired."""

    reason = "TOKEN_ENDED"


class AlreadyRotatedError(RefusedError):
    """The token has a successor already, and is revoked when their overlap has passed."""

    reason = "ALREADY_ROTATED"


class NotRotatedError(RefusedError):
    """The token is not being rotated, so no rotation can be taken back."""

    reason = "NOT_ROTATED"


class CannotRotateError(RefusedError):
    """A token of this kind, or with these caveats, has no successor."""

    reason = "CANNOT_ROTATE"


class SuccessorDiffersError(RefusedError):
    """The successor that the caller can mint would permit less, or for another length of time."""

    reason = "SUCCESSOR_DIFFERS"


class MintedTokenEndedError(RefusedError):
    """The token that the same request minted before has been revoked, or has expired, since."""

    reason = "MINTED_TOKEN_ENDED"


class RateLimitedError(RetryAfter, RefusedError):
    """Too many calls without a caller's token, about one token or from one peer."""

    reason = "RATE_LIMITED"


class WrongRevisionError(RefusedError):
    """The revision is of another epoch or above the newest one of the store, so it can never be reached."""

    reason = "REVISION_UNKNOWN"


class ChangesForgottenError(RefusedError):
    """The changes since that revision are no longer kept.

    The caller starts again with a snapshot, which contains all of them.
    """

    reason = "REVISION_FORGOTTEN"


class WatcherTooSlowError(RefusedError):
    """The watcher did not read what it was sent. It can resume from the last revision that it received."""

    reason = "WATCHER_TOO_SLOW"


class TooManyWatchersError(RetryAfter, RefusedError):
    """The server already has the maximum number of watchers."""

    reason = "TOO_MANY_WATCHERS"


class CannotKnowError(RetryAfter, RefusedError):
    """The server cannot determine the answer now. This is never a denial and never a yes."""

    reason = "CANNOT_KNOW"


class StoreUnavailableError(CannotKnowError):
    """The store did not answer or refused to write. Nothing was written, unless the commit broke off."""

    reason = "STORE_UNAVAILABLE"


class StoreExchangedError(StoreUnavailableError):
    """The store was deleted or replaced; revocations that this server holds may exist nowhere else."""


class DrainingError(CannotKnowError):
    """This server is shutting down; another server, or its successor, can answer."""

    reason = "DRAINING"


class SelectionChangedError(CannotKnowError):
    """A token joined the selection while it was read, and the caller's permission for it was not checked."""

    reason = "SELECTION_CHANGED"

    def __init__(self) -> None:
        """Refuse; the caller can try again after 0.1 s."""
        super().__init__("Tokens were minted meanwhile; check the selection and try again.", 0.1)


class IssuedTooEarlyError(CannotKnowError):
    """A new token would fall under a cut-off from the start: its issue time is not after `until_ms`.

    `until_ms` is in unix milliseconds.
    """

    reason = "ISSUED_TOO_EARLY"

    def __init__(self, until_ms: int) -> None:
        """Refuse with the time of the cut-off."""
        super().__init__("What this token is for was revoked at this very moment; try again.", 0.1)
        self.until_ms = until_ms


class StartError(AlmondError):
    """The server or a command cannot start; the message says what the operator should do."""


class OldSchemaError(StartError):
    """The store has the schema of an older version of Almond and must be migrated first."""
