"""Freshness by challenge and response.

This server publishes a random nonce; the relay echoes it in its next heartbeat. What the heartbeat says was
therefore read after the nonce was published, however late the heartbeat arrives. Knows nothing of the
transport (ADR 15).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from almond_server.domain.clock import Clock
    from almond_server.domain.feed import Heartbeat
    from almond_server.revocation.index.view import RevocationView

_MAX_PENDING: Final = 100
_NONCE_BYTES: Final = 8


class Challenges:
    """The challenges of this server that no heartbeat has answered yet."""

    def __init__(self, view: RevocationView, clock: Clock) -> None:
        """Start without challenges; heartbeats that answer one prove `view`."""
        self._view = view
        self._clock = clock
        self._pending: dict[bytes, tuple[float, int]] = {}
        self._answered_at = clock.monotonic()

    @property
    def age(self) -> float:
        """Age in seconds of the newest challenge that was answered; until then, seconds since the start."""
        return self._clock.monotonic() - self._answered_at

    def challenge(self) -> bytes:
        """Return a new nonce to publish. At most 100 stay pending: then the oldest are dropped."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        self._pending[nonce] = (self._clock.monotonic(), self._view.revision.number)
        while len(self._pending) > _MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        return nonce

    def accept(self, heartbeat: Heartbeat) -> bool:
        """Prove the view by a heartbeat that answers a challenge.

        Returns False if the heartbeat does not fit the view. One that answers no challenge has no effect, as
        its age is unknown, and returns True. Raises `DivergedHistoryError`.
        """
        answered = [sent for nonce in heartbeat.nonces if (sent := self._pending.pop(nonce, None))]
        if not answered:
            return True
        sent_at, number = max(answered)
        self._answered_at = max(sent_at, self._answered_at)
        return heartbeat.reading.number >= number and self._view.prove(heartbeat.reading, sent_at)
