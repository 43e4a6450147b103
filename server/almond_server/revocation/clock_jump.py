"""A jump of this machine's wall clock: it answers no call, and is taken as a correction once it has lasted.

Rules:
* While the clock differs from the store's time, no time is sent to the store. PostgreSQL has a clock of its
  own: as soon as that agrees with this machine's, the server goes on.
* SQLite takes its time from servers. A clock that has kept its new time for ten seconds was corrected: then
  it is sent, and the server goes on. It is not sent if another server has proven the view meanwhile: that one
  disagrees, and its clock may be the right one.
* The store's time never goes back. A clock that jumped back is right again when it has come within 30 seconds
  of the highest time that the store has had; until then expired tokens could pass as live.
* A new time says nothing of revocations: the view is proven by the reading that was made with it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import structlog

from almond_server.errors import ClockDiffersError
from almond_server.revocation.index.view import MAX_CLOCK_OFFSET

if TYPE_CHECKING:
    from almond_server.domain.clock import Clock
    from almond_server.domain.revocations import Reading
    from almond_server.revocation.index.view import RevocationView

_SETTLED_SECONDS: Final = 10.0

log = structlog.get_logger()


class ClockJump:
    """Decides which time is sent to the store, and whether a reading ends a jump."""

    def __init__(self, view: RevocationView, clock: Clock) -> None:
        """Begin without a jump."""
        self._view = view
        self._clock = clock
        self._began_at: float | None = None
        self._offset = 0.0
        self.ended_at = -math.inf
        """When the newest jump was taken as a correction, in monotonic seconds."""

    def time_to_send(self) -> int:
        """Return this machine's time for the store, in unix seconds; 0, which is none, after a fresh jump."""
        if not self._view.has_wrong_clock:
            self._began_at = None
            return self._clock.now_ms() // 1000
        return self._clock.now_ms() // 1000 if self._has_settled() else 0

    def require_end(self, reading: Reading) -> None:
        """Raise `ClockDiffersError` if a jump lasts, by a reading that the store has just given."""
        if self._began_at is None:
            return
        if abs(self._clock.now_ms() / 1000 - reading.store_time) > MAX_CLOCK_OFFSET:
            self._view.require_sound()
            raise ClockDiffersError
        self._began_at, self.ended_at = None, self._clock.monotonic()
        log.warning("clock.corrected", store_time=reading.store_time)

    def _was_proven_since(self, moment: float) -> bool:
        # By a heartbeat of another server: this one proves nothing while a jump lasts.
        return self._view.proven_at is not None and self._view.proven_at > moment

    def _has_settled(self) -> bool:
        now = self._clock.monotonic()
        offset = self._clock.now_ms() / 1000 - now
        if self._began_at is None:
            log.warning("clock.jumped", seconds=round(self._view.clock_offset))
        elif abs(offset - self._offset) <= MAX_CLOCK_OFFSET and not self._was_proven_since(self._began_at):
            return now - self._began_at >= _SETTLED_SECONDS
        self._began_at, self._offset = now, offset
        return False
