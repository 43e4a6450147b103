"""The revocation view: what has been revoked, in this process's memory, and how old that knowledge is.

Fed by the follower, read on the hot path. Must not know where its changes come from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

from almond_core.decision import LIVE
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import KEPT_SECONDS
from almond_server.errors import CannotKnowError, WrongRevisionError
from almond_server.revocation.index.cut_offs import CutOffs
from almond_server.revocation.index.revoked_tokens import RevokedTokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from almond_core.chain import VerifiedToken
    from almond_core.decision import Revoked, Standing
    from almond_server.domain.clock import Clock
    from almond_server.domain.revocations import Change, CutOff, Reading, Revocation

_MAX_CLOCK_OFF: Final = 30.0
"""Seconds between a server's wall clock and its store's time, above which `valid` means nothing here."""

_SWEPT_AT_ONCE: Final = 200
_SWEEPS: Final = 20
_SWEEP_SECONDS: Final = 0.001
"""A turn of sweeping is that many steps at most, and none that would begin after this time."""

_OUT_OF_TOUCH: Final = (
    "This server has lost touch with its store and cannot know what has been revoked; try again or ask "
    "another server."
)
_CLOCK_IS_OFF: Final = (
    f"This server's clock differs from the store's by more than {_MAX_CLOCK_OFF:.0f} seconds: ask another "
    "server, and have an operator set the clock; if it is right, restart this server."
)


class AnotherPastError(Exception):
    """What was read has another mark than the view at the same revision: it continues another past."""


class RevocationView:
    """What is revoked, up to which revision, and how fresh that is. Implements `core.Revocations`."""

    def __init__(self, epoch: str, max_staleness: float, clock: Clock) -> None:
        """Start empty and stale: nothing is known until a reading of the store proves it."""
        self._revoked = RevokedTokens()
        self._cut_offs = CutOffs()
        self._has_cut_offs = False
        self._clock = clock
        self.max_staleness = max_staleness
        """Seconds above which it is stale."""
        self._proven_at: float | None = None
        self._alarm: str | None = None
        self.revision = Revision(epoch, 0)
        self.mark = b""
        """The mark of the newest revision seen; empty while nothing was read yet."""
        self.store_time = 0

    def standing(self, token: VerifiedToken, org: str | None) -> Literal[Standing.LIVE] | Revoked:
        """Tell whether anything of the token's lineage is revoked, or it falls under a cut-off.

        That of an org counts for accesses on `org`. Raises `CannotKnowError` when stale.
        """
        self.require_fresh()
        found = self._revoked.standing(token)
        return self._cut_offs.standing(token, org) if found is LIVE and self._has_cut_offs else found

    def has(self, token_id: str, branch_id: bytes) -> bool:
        """Tell whether a branch, or its whole token, is known to be revoked, however stale."""
        return self._revoked.has(token_id, branch_id)

    @property
    def is_fresh(self) -> bool:
        """Whether a reading of the store has proven this view within the bound; never after an alarm."""
        return self._problem() is None

    @property
    def age(self) -> float:
        """Seconds since the reading of the store that proves it was begun; infinite before the first."""
        return math.inf if self._proven_at is None else self._clock.monotonic() - self._proven_at

    @property
    def has_alarm(self) -> bool:
        """Whether an alarm was raised."""
        return self._alarm is not None

    @property
    def memory_bytes(self) -> int:
        """Bytes of what is kept of the entries, in O(1); the process needs up to a sixth more."""
        return self._revoked.memory_bytes

    def require_fresh(self) -> None:
        """Raise `CannotKnowError` unless fresh."""
        problem = self._problem()
        if problem is not None:
            raise CannotKnowError(problem)

    def require_sound(self) -> None:
        """Raise `CannotKnowError` after an alarm, or if this machine's clock left the store's."""
        if self._alarm is not None:
            raise CannotKnowError(self._alarm)
        if self._has_wrong_time:
            raise CannotKnowError(_CLOCK_IS_OFF)

    def raise_alarm(self, sentence: str) -> bool:
        """Never be fresh again: what was read cannot be true, and somebody has to look at it.

        Answers whether it is the first alarm.
        """
        is_first, self._alarm = self._alarm is None, sentence
        return is_first

    def was_read_since(self, moment: float) -> bool:
        """Tell whether a reading begun at `moment` (monotonic seconds) or later has proven it."""
        return self._proven_at is not None and self._proven_at >= moment

    @property
    def proven_at(self) -> float | None:
        """When the newest reading that has proven it was begun, in monotonic seconds; None if none has."""
        return self._proven_at

    def _problem(self) -> str | None:
        if self._alarm is not None:
            return self._alarm
        if self._proven_at is None:
            return _OUT_OF_TOUCH
        elapsed = self._clock.monotonic() - self._proven_at
        if elapsed > self.max_staleness:
            return _OUT_OF_TOUCH
        return _CLOCK_IS_OFF if self._is_clock_off(elapsed) else None

    @property
    def _has_wrong_time(self) -> bool:
        return self._proven_at is not None and self._is_clock_off(self._clock.monotonic() - self._proven_at)

    def _is_clock_off(self, elapsed: float) -> bool:
        return abs(self._clock.now_ms() / 1000 - self.store_time - elapsed) > _MAX_CLOCK_OFF

    def require_revision(self, revision: Revision) -> None:
        """Raise `CannotKnowError` if `revision` is not seen yet, `WrongRevisionError` as `has_seen`."""
        if not self.has_seen(revision):
            raise CannotKnowError("This server has not seen that revision yet; try again in a moment.", 0.1)

    def has_seen(self, revision: Revision) -> bool:
        """Tell whether the view holds a revision, however stale.

        Raises `WrongRevisionError` if it is of another epoch, and so can never be seen.
        """
        if revision.epoch != self.revision.epoch:
            raise WrongRevisionError(
                "The revision is of another store, or from before a restore; drop it, or revoke again."
            )
        return revision.number <= self.revision.number

    def apply(self, change: Change) -> bool:
        """Take in the next change; answers whether it was the next one. Older ones are no news.

        Raises `AnotherPastError` for one that does not come after what this view has seen.
        """
        if not self.is_next(change):
            return False
        self.take(change.revocations, change.cut_offs)
        self.stand_at(change.number, change.mark)
        return True

    def is_next(self, change: Change) -> bool:
        """Tell whether a change is the next one; raises as `apply`."""
        if change.number != self.revision.number + 1:
            return False
        if self.mark and change.before != self.mark:
            raise AnotherPastError
        return True

    def make_room(self, count: int) -> bool:
        """Make some room for so many entries, if there is none yet; answers whether that is all."""
        return self._revoked.make_room(count)

    def take(self, revocations: Iterable[Revocation], cut_offs: Iterable[CutOff] = ()) -> None:
        """Take in entries of whatever revision. More than the store has is never wrong: it is a denial.

        Many keep everybody waiting: `loader.take_in` takes them in slices.
        """
        self._revoked.add(revocations)
        self._cut_offs.add(cut_offs)
        self._has_cut_offs = len(self._cut_offs) > 0

    def stand_at(self, number: int, mark: bytes) -> None:
        """Take note that every entry up to a revision has been taken in."""
        self.revision, self.mark = Revision(self.revision.epoch, number), mark

    def prove(self, reading: Reading, read_at: float) -> bool:
        """Take note of a reading of the store begun at `read_at` (monotonic seconds).

        Answers whether it proves this view: same epoch, and no revision that the view has not seen. Raises
        `AnotherPastError` if it is at the view's revision and another mark.
        """
        if reading.epoch != self.revision.epoch or reading.number > self.revision.number:
            return False
        if reading.number == self.revision.number and reading.mark != self.mark:
            if self.mark:
                raise AnotherPastError
            self.mark = reading.mark
        self._proven_at = max(read_at, self._proven_at or read_at)
        self.store_time = max(reading.store_time, self.store_time)
        return True

    def entries(self) -> Iterator[Revocation]:
        """Yield all entries, for an operator to look at: not for the hot path, and not across an await."""
        return iter(self._revoked)

    def cut_offs(self) -> Iterator[CutOff]:
        """Yield all cut-offs, as `entries`. They are never forgotten: tokens may have no end."""
        return iter(self._cut_offs)

    def prune(self) -> int:
        """Look at some entries, the next ones at each call; returns how many were forgotten.

        Those are whose tokens ended over 24 hours ago by the store's time. Such a token is denied as expired,
        whatever is known of it. None, while that time and this machine's are apart.
        """
        if self._has_wrong_time:
            return 0
        began, forgotten = self._clock.monotonic(), 0
        for _ in range(min(_SWEEPS, 1 + len(self) // _SWEPT_AT_ONCE)):
            forgotten += self._revoked.sweep(self.store_time - KEPT_SECONDS, _SWEPT_AT_ONCE)
            if self._clock.monotonic() - began >= _SWEEP_SECONDS:
                break
        return forgotten

    def __len__(self) -> int:
        """Return how many tokens have an entry."""
        return len(self._revoked)
