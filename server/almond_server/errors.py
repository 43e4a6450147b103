"""What the server can refuse besides a bad token or field, and why.

Three kinds exist (server/ARCHITECTURE.md, "Errors"); these are the second and third. `rpc/errors.py` is the
one place that knows their status codes.
"""

from __future__ import annotations

from almond_core.errors import AlmondError


class RefusedError(AlmondError):
    """A refusal with a machine-readable `reason` and a `sentence` that tells a person what to do."""

    reason: str = "REFUSED"

    def __init__(self, sentence: str) -> None:
        """Keep the sentence; it holds no secret."""
        super().__init__(sentence)
        self.sentence = sentence


class UnauthenticatedError(RefusedError):
    """The caller presented no token, or none that is genuine."""

    reason = "CALLER_UNAUTHENTICATED"


class PermissionDeniedError(RefusedError):
    """The caller's token is genuine but does not permit this call."""

    reason = "CALLER_DENIED"


class RecordNotFoundError(RefusedError):
    """No token with that id was minted here."""

    reason = "TOKEN_NOT_FOUND"


class PolicyNotFoundError(RefusedError):
    """No rule is set for that org and kind."""

    reason = "POLICY_NOT_FOUND"


class TooManyDerivedError(RefusedError):
    """The minted token has as many registered derived tokens as it can have."""

    reason = "TOO_MANY_DERIVED"


class MinterRevokedError(RefusedError):
    """The caller's token was revoked before the store could record what it minted."""

    reason = "MINTER_REVOKED"


class RequestReusedError(RefusedError):
    """The same caller used the same `request_id` for another content within 24 hours."""

    reason = "REQUEST_ID_REUSED"


class RateLimitedError(RefusedError):
    """Too many tokenless calls about one token or from one peer; `retry_after` is in seconds."""

    reason = "RATE_LIMITED"

    def __init__(self, sentence: str, retry_after: float) -> None:
        """Keep the sentence and when to try again."""
        super().__init__(sentence)
        self.retry_after = retry_after


class WrongRevisionError(RefusedError):
    """A revision of another epoch, or above the store's own: it can never be reached."""

    reason = "REVISION_UNKNOWN"


class ChangesForgottenError(RefusedError):
    """What came after that revision is no more told apart: only all of it can be read."""

    reason = "REVISION_FORGOTTEN"


class WatcherTooSlowError(RefusedError):
    """A watcher did not read what it was sent; it can go on from the last revision it got."""

    reason = "WATCHER_TOO_SLOW"


class TooManyWatchersError(RefusedError):
    """The server has as many watchers as it can have; `retry_after` is in seconds."""

    reason = "TOO_MANY_WATCHERS"

    def __init__(self, sentence: str, retry_after: float) -> None:
        """Keep the sentence and when to try again."""
        super().__init__(sentence)
        self.retry_after = retry_after


class CannotKnowError(RefusedError):
    """Nobody can know the answer now: never a denial, never a yes. `retry_after` is in seconds."""

    reason = "CANNOT_KNOW"

    def __init__(self, sentence: str, retry_after: float = 0.5) -> None:
        """Keep the sentence and when to try again."""
        super().__init__(sentence)
        self.retry_after = retry_after


class StoreUnavailableError(CannotKnowError):
    """The durable store did not answer, or refused to write. Nothing was written."""

    reason = "STORE_UNAVAILABLE"


class StoreExchangedError(StoreUnavailableError):
    """The store is gone, or another one is in its place: what this server knows may be nowhere else."""


class DrainingError(CannotKnowError):
    """This server is going; another one, or its successor, will answer."""

    reason = "DRAINING"


class SelectionChangedError(CannotKnowError):
    """While a selection was looked at, something joined it that the caller was not checked for."""

    reason = "SELECTION_CHANGED"


class IssuedTooEarlyError(CannotKnowError):
    """A token would be issued when all are revoked: not after `until_ms`, in unix milliseconds."""

    reason = "ISSUED_TOO_EARLY"

    def __init__(self, until_ms: int) -> None:
        """Keep the time of the cut-off."""
        super().__init__("What this token is for was revoked at this very moment; try again.", 0.1)
        self.until_ms = until_ms


class StartError(AlmondError):
    """The server cannot start; the message says what to do."""


class OldSchemaError(StartError):
    """The store was written by an older version, and has to be migrated first."""
