"""Due revocations: turns rotations whose overlap has passed into ordinary revocations, in the store.

From there they reach views, the feed and watchers as any other revocation.

Rules:
* The relay carries out what is due, a moment after it is. Any other server does after `_STAND_IN_SECONDS`:
  the relay may be paused, unable to write, or of a version that does not know rotations. Two servers at once
  do no harm: the store revokes a token once.
* It needs no feed: while Redis is away, the server that won the last election is the relay here, although it
  resigned.
* It runs beside the relay's rounds: a store that writes slowly delays no heartbeat.
* A due time is one of the store's time. Nothing is carried out while the clocks differ: by a wrong time, a
  token would be revoked too early.
* Nothing is kept here that the next server, or the next process, does not read from the store.

Must not know SQL, nor how the election works.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from almond_server.errors import CannotKnowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from almond_server.domain.clock import Clock
    from almond_server.domain.rotations import NextDue, Rotations

_BATCH: Final = 100
"""How many are revoked in one transaction: each has a reason of its own, and other writers wait meanwhile."""

_CHECK_SECONDS: Final = 0.5
"""Due times are whole seconds: with this a revocation is at most a second late."""

_STAND_IN_SECONDS: Final = 10
"""How late the relay may be before other servers do its work."""

OVERDUE_SECONDS: Final = 60
"""How late a revocation may be before that is an alarm."""

log = structlog.get_logger()


class DueRevocations:
    """Carries out the rotations that are due, as the relay or in its place."""

    def __init__(
        self,
        rotations: Rotations,
        is_relay: Callable[[], bool],
        require_sound: Callable[[], None],
        clock: Clock,
        check_seconds: float = _CHECK_SECONDS,
    ) -> None:
        """Look every `check_seconds`.

        `require_sound` raises `CannotKnowError` while this server's clock is wrong.
        """
        self._rotations = rotations
        self._is_relay = is_relay
        self._require_sound = require_sound
        self._clock = clock
        self._check_seconds = check_seconds
        self._next: NextDue | None = None
        self._read_at = clock.monotonic()
        self._problem = ""
        self._is_overdue = False

    @property
    def seconds_late(self) -> float:
        """How long ago the next revocation was due that is not carried out, as far as this server knows."""
        if self._next is None or self._next.due is None:
            return 0.0
        elapsed = self._clock.monotonic() - self._read_at
        return max(0.0, self._next.store_time + elapsed - self._next.due)

    async def run(self) -> None:
        """Look and carry out until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(self._check_seconds)

    async def run_once(self) -> None:
        """Carry out what is due, if this server is the relay or the relay is late."""
        try:
            await self._carry_out()
            self._problem = ""
        except CannotKnowError as error:
            if error.sentence != self._problem:
                log.warning("rotation.not_carried_out", why=error.sentence)
            self._problem = error.sentence
        self._report_late()

    async def _carry_out(self) -> None:
        done, late = 0, 0.0
        while self._is_mine(await self._look()):
            late = max(late, self.seconds_late)
            self._require_sound()
            carried_out = await self._rotations.carry_out(_BATCH, self._now())
            if not carried_out:
                break
            done += carried_out
        if done:
            log.info("rotation.carried_out", tokens=done, seconds_late=round(late))

    async def _look(self) -> NextDue:
        self._require_sound()
        began = self._clock.monotonic()
        self._next, self._read_at = await self._rotations.next_due(self._now()), began
        return self._next

    def _is_mine(self, found: NextDue) -> bool:
        patience = 0 if self._is_relay() else _STAND_IN_SECONDS
        return found.due is not None and found.due + patience <= found.store_time

    def _report_late(self) -> None:
        was_overdue, self._is_overdue = self._is_overdue, self.seconds_late > OVERDUE_SECONDS
        if self._is_overdue and not was_overdue:
            log.error(
                "rotation.overdue",
                seconds=round(self.seconds_late),
                advice="a rotated token is still valid: see why the store is not written, or revoke it by id",
            )

    def _now(self) -> int:
        return self._clock.now_ms() // 1000
