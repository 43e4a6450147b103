"""The revocation view: what is revoked, in this process's memory, and how fresh that is.

Rules:
* It answers only while it is fresh: proven at most `max_staleness` seconds ago, no alarm, and a wall clock
  within 30 seconds of the store's time. Otherwise it raises: what it lacks, it would call live.
* A reading of the store proves it only if it is of the same epoch and of no later revision: then the view has
  all that the store had.
* Its age counts on the monotonic clock, from before the reading began. An older reading never shortens or
  lengthens it.
* A change is applied only if it is the next one and names the view's mark: so nothing is left out, and no
  change comes from a history that a restore of the database has undone.
* Entries may be added before their revision is reached. Too many are never wrong: they deny.
* After an alarm it is never fresh again: the store may lack revocations, and an operator must put them back.
* An entry goes 24 hours after its token's end by the store's time, and none goes while the clocks differ.

The follower updates it, and every Verify reads it. Must not know where its changes come from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

from almond_core.decision import LIVE
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import KEPT_SECONDS
from almond_server.errors import CannotKnowError, ClockDiffersError, WrongRevisionError
from almond_server.revocation.index.cut_offs import CutOffs
from almond_server.revocation.index.revoked_tokens import RevokedTokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from almond_core.chain import VerifiedToken
    from almond_core.decision import Revoked, Standing
    from almond_server.domain.clock import Clock
    from almond_server.domain.revocations import Change, CutOff, Reading, Revocation

MAX_CLOCK_OFFSET: Final = 30.0
"""Seconds between this machine's wall clock and the store's time, above which `valid` cannot be checked."""

_SWEEP_ENTRIES: Final = 200
_MAX_SWEEPS: Final = 20
_PRUNE_SECONDS: Final = 0.001
"""A call of `prune` makes at most `_MAX_SWEEPS` sweeps, and begins none after this time."""

STALE: Final = (
    "This server has lost touch with its store and cannot know what has been revoked; try again or ask "
    "another server."
)


class DivergedHistoryError(Exception):
    """A change or reading belongs to another history: its mark is not the view's at the same revision."""


class RevocationView:
    """The revocations in memory, up to which revision, and how fresh. Implements `decision.Revocations`."""

    def __init__(self, epoch: str, max_staleness: float, clock: Clock) -> None:
        """Start empty and stale, until a reading of the store proves the view."""
        self._revoked = RevokedTokens()
        self._cut_offs = CutOffs()
        self._has_cut_offs = False
        self._clock = clock
        self.max_staleness = max_staleness
        """The age in seconds above which the view is stale."""
        self._proven_at: float | None = None
        self._alarm: str | None = None
        self.revision = Revision(epoch, 0)
        self.mark = b""
        """The mark of that revision; empty until something was read."""
        self.store_time = 0
        """The highest time that a reading of the store had, in unix seconds."""

    def standing(self, token: VerifiedToken, org: str | None) -> Literal[Standing.LIVE] | Revoked:
        """Return whether anything of the token's lineage is revoked, or a cut-off covers the token.

        An org's cut-off counts for accesses on `org` only. Raises `CannotKnowError` while stale.
        """
        self.require_fresh()
        found = self._revoked.standing(token)
        return self._cut_offs.standing(token, org) if found is LIVE and self._has_cut_offs else found

    def is_revoked(self, token_id: str, branch_id: bytes) -> bool:
        """Return whether the view has an entry for a branch or for its whole token, however stale it is."""
        return self._revoked.is_revoked(token_id, branch_id)

    @property
    def is_fresh(self) -> bool:
        """Whether it may answer: proven within `max_staleness`, the clocks agree, and no alarm was raised."""
        return self.problem is None

    @property
    def age(self) -> float:
        """Seconds since the newest reading that proved it began; infinite before the first."""
        return math.inf if self._proven_at is None else self._clock.monotonic() - self._proven_at

    @property
    def has_alarm(self) -> bool:
        """Whether an alarm was raised."""
        return self._alarm is not None

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory of the entries, in O(1); the process needs up to a sixth more."""
        return self._revoked.memory_bytes

    def require_fresh(self) -> None:
        """Raise `CannotKnowError` unless the view is fresh."""
        problem = self.problem
        if problem is not None:
            raise problem

    def require_sound(self) -> None:
        """Raise `CannotKnowError` after an alarm, or while this machine's clock differs from the store's."""
        self.require_no_alarm()
        if self.has_wrong_clock:
            raise ClockDiffersError

    def require_no_alarm(self) -> None:
        """Raise `CannotKnowError` after an alarm."""
        if self._alarm is not None:
            raise CannotKnowError(self._alarm)

    def raise_alarm(self, sentence: str) -> bool:
        """Make the view stale for good: an operator has to act. Callers are answered with `sentence`.

        Returns whether this is the first alarm.
        """
        is_first, self._alarm = self._alarm is None, sentence
        return is_first

    def was_read_since(self, moment: float) -> bool:
        """Return whether a reading that began at `moment` (monotonic seconds) or later has proven it."""
        return self._proven_at is not None and self._proven_at >= moment

    @property
    def proven_at(self) -> float | None:
        """When the newest reading that proved it began, in monotonic seconds; None before the first."""
        return self._proven_at

    @property
    def problem(self) -> CannotKnowError | None:
        """Why it may not answer; None while it is fresh."""
        if self._alarm is not None:
            return CannotKnowError(self._alarm)
        if self._proven_at is None:
            return CannotKnowError(STALE)
        # Before the age: a server that was stopped may find both, and the age goes by itself.
        if self.has_wrong_clock:
            return ClockDiffersError()
        return None if self.age <= self.max_staleness else CannotKnowError(STALE)

    @property
    def has_wrong_clock(self) -> bool:
        """Whether this machine's wall clock differs from the store's time by more than 30 seconds."""
        return abs(self.clock_offset) > MAX_CLOCK_OFFSET

    @property
    def clock_offset(self) -> float:
        """Seconds that this machine's wall clock is ahead of the store's time; 0 before the first reading."""
        return 0.0 if self._proven_at is None else self._clock.now_ms() / 1000 - self.store_time - self.age

    def require_revision(self, revision: Revision) -> None:
        """Raise `CannotKnowError` until the view is at `revision`, `WrongRevisionError` as `has_seen`."""
        if not self.has_seen(revision):
            raise CannotKnowError("This server has not seen that revision yet; try again in a moment.", 0.1)

    def has_seen(self, revision: Revision) -> bool:
        """Return whether the view has reached a revision, however stale it is.

        Raises `WrongRevisionError` for a revision of another epoch, which it can never reach.
        """
        if revision.epoch != self.revision.epoch:
            raise WrongRevisionError(
                "The revision is of another store, or from before a restore: leave it out, or revoke again."
            )
        return revision.number <= self.revision.number

    def apply(self, change: Change) -> bool:
        """Apply a change if it is the next one; return whether it was.

        Raises `DivergedHistoryError` if its number is the next, but it follows another mark than the view's.
        """
        if not self.is_next(change):
            return False
        self.add(change.revocations, change.cut_offs)
        self.set_revision(change.number, change.mark)
        return True

    def is_next(self, change: Change) -> bool:
        """Return whether a change is the next one; raises as `apply`."""
        if change.number != self.revision.number + 1:
            return False
        if self.mark and change.before != self.mark:
            raise DivergedHistoryError
        return True

    def make_room(self, count: int) -> bool:
        """Make some of the room that `count` entries need, in an empty view; return whether all is made."""
        return self._revoked.make_room(count)

    def add(self, revocations: Iterable[Revocation], cut_offs: Iterable[CutOff] = ()) -> None:
        """Add entries of any revision. Entries that the store does not have are never wrong: they deny.

        Many at once block the event loop: `loader.add_in_slices` adds them in slices.
        """
        self._revoked.add(revocations)
        self._cut_offs.add(cut_offs)
        self._has_cut_offs = len(self._cut_offs) > 0

    def set_revision(self, number: int, mark: bytes) -> None:
        """Record that every entry up to a revision has been added."""
        self.revision, self.mark = Revision(self.revision.epoch, number), mark

    def prove(self, reading: Reading, read_at: float) -> bool:
        """Record a reading of the store that began at `read_at` (monotonic seconds), if it proves the view.

        Returns whether it does: it has the view's epoch, and no later revision. Raises `DivergedHistoryError`
        if it is at the view's revision and has another mark.
        """
        if reading.epoch != self.revision.epoch or reading.number > self.revision.number:
            return False
        if reading.number == self.revision.number and reading.mark != self.mark:
            if self.mark:
                raise DivergedHistoryError
            self.mark = reading.mark
        self._proven_at = max(read_at, self._proven_at or read_at)
        self.store_time = max(reading.store_time, self.store_time)
        return True

    def entries(self) -> Iterator[Revocation]:
        """Yield all entries, for the rescue file: not for the hot path, and not across an await."""
        return iter(self._revoked)

    def cut_offs(self) -> Iterator[CutOff]:
        """Yield all cut-offs, as `entries`. They are never pruned: tokens may have no end."""
        return iter(self._cut_offs)

    def prune(self) -> int:
        """Drop entries whose tokens ended over 24 hours ago by the store's time; return how many.

        Each call checks some entries, and the next call continues after them. Without its entry such a token
        is denied as expired. Nothing is dropped while this machine's clock differs from the store's.
        """
        if self.has_wrong_clock:
            return 0
        began, dropped = self._clock.monotonic(), 0
        for _ in range(min(_MAX_SWEEPS, 1 + len(self) // _SWEEP_ENTRIES)):
            dropped += self._revoked.sweep(self.store_time - KEPT_SECONDS, _SWEEP_ENTRIES)
            if self._clock.monotonic() - began >= _PRUNE_SECONDS:
                break
        return dropped

    def __len__(self) -> int:
        """Return the number of tokens that have an entry."""
        return len(self._revoked)
