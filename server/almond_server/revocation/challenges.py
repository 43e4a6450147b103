"""Questions to whoever reads the store: an answer proves what it says as of the time of its question.

How long it was on its way does not matter, and nobody can answer what was not asked. Must not know how they
travel (ADR 15).
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
    """What this server has asked and was not answered yet."""

    def __init__(self, view: RevocationView, clock: Clock) -> None:
        """Take the view that answers prove."""
        self._view = view
        self._clock = clock
        self._pending: dict[bytes, tuple[float, int]] = {}
        self._answered_at = clock.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the newest question that was answered, or the start."""
        return self._clock.monotonic() - self._answered_at

    def challenge(self) -> bytes:
        """Make up a question, to be answered by name; of very many the oldest are given up."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        self._pending[nonce] = (self._clock.monotonic(), self._view.revision.number)
        while len(self._pending) > _MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        return nonce

    def accept(self, heartbeat: Heartbeat) -> bool:
        """Prove the view, if the heartbeat answers a question; False if it says what cannot be.

        One that answers none proves nothing here: nobody can tell how old it is. Raises `AnotherPastError`.
        """
        mine = [asked for nonce in heartbeat.nonces if (asked := self._pending.pop(nonce, None))]
        if not mine:
            return True
        asked_at, number = max(mine)
        self._answered_at = max(asked_at, self._answered_at)
        return heartbeat.reading.number >= number and self._view.prove(heartbeat.reading, asked_at)
