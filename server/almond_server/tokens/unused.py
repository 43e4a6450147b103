"""Whether a token was not used since a time: the precondition under which Revoke ends unused tokens.

Last use is known as far as servers have reported it. They do that every 15 seconds, and what one cannot write
it keeps; the time must be at least 7 days ago, so that a report has had time to arrive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from almond_core.errors import FieldError
from almond_server.domain.revocations import check_unused

if TYPE_CHECKING:
    from almond_server.domain.records import Record
    from almond_server.domain.stores import Revocations, Tokens
    from almond_server.tokens.last_used import LastUseRecorder

MIN_UNUSED_SECONDS: Final = 7 * 24 * 3600


class Unused:
    """Checks the precondition of a revocation, before the store checks it again in its transaction."""

    def __init__(self, tokens: Tokens, revocations: Revocations, last_used: LastUseRecorder) -> None:
        """Ask the store for its time; report what this server itself knows of uses before looking."""
        self._tokens = tokens
        self._revocations = revocations
        self._last_used = last_used

    async def check(self, record: Record, since: int, now: int) -> None:
        """Raise `FieldError` if `since` is too recent, `TokenInUseError` if the token was used since.

        Raises `CannotKnowError` if the uses that this server knows of cannot be written. `since` and `now`
        are unix seconds.
        """
        store_time = (await self._revocations.reading(now)).store_time
        if since > store_time - MIN_UNUSED_SECONDS:
            raise FieldError("unused_since", "at least 7 days ago: servers report last use with a delay")
        await self._last_used.flush()
        check_unused(await self._tokens.get(record.id), since)
