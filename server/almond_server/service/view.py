"""The revocation view: what has been withdrawn, in this process's memory, and how old that knowledge is.

Fed by the follower, read on the hot path. Must not know where its changes come from.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, Literal

from almond_core.decision import LIVE, Standing, Withdrawn
from almond_server.errors import CannotKnowError, WrongRevisionError
from almond_server.ports import KEPT_SECONDS, Withdrawal
from almond_server.service.revision import Revision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from almond_core.chain import VerifiedToken
    from almond_server.ports import Change, Clock, Reading

_MAX_CLOCK_OFF: Final = 30.0
"""Seconds between a server's wall clock and its store's time, above which `valid` means nothing here."""

_PRUNED_AT_ONCE: Final = 1000

_OUT_OF_TOUCH: Final = (
    "This server has lost touch with its store and cannot know what has been revoked; try again or ask "
    "another server."
)
_CLOCK_IS_OFF: Final = (
    f"This server's clock differs from the store's by more than {_MAX_CLOCK_OFF:.0f} seconds: ask another "
    "server, and have an operator set the clock; if it is right, restart this server."
)

_WHOLE: Final[set[bytes]] = {b"whole"}
"""The entry of a token withdrawn whole. No branch id is five bytes long; nothing is ever added to it."""


class AnotherPastError(Exception):
    """What was read has another mark than the view at the same revision: it continues another past."""


class RevocationView:
    """Token id to the branch ids withdrawn under it, or to `_WHOLE`. Implements `core.Revocations`."""

    def __init__(self, epoch: str, max_staleness: float, clock: Clock) -> None:
        """Start empty and stale: nothing is known until a reading of the store proves it."""
        self._withdrawn: dict[str, set[bytes]] = {}
        # When entries are over, soonest first. The whole token's has an empty branch id.
        self._ends: list[tuple[int, str, bytes]] = []
        self._clock = clock
        self._max_staleness = max_staleness
        self._proven_at: float | None = None
        self._alarm: str | None = None
        self.revision = Revision(epoch, 0)
        self.mark = b""
        """The mark of the newest revision seen; empty while nothing was read yet."""
        self.store_time = 0

    def standing(self, token: VerifiedToken) -> Literal[Standing.LIVE] | Withdrawn:
        """Tell whether anything of the token's lineage is withdrawn; raises `CannotKnowError` when stale."""
        self.must_be_fresh()
        entry = self._withdrawn.get(token.identity.token_id)
        if entry is None:
            return LIVE
        if entry is _WHOLE:
            return Withdrawn("the token itself")
        for generation, branch_id in enumerate(token.branch_ids):
            if branch_id in entry:
                return Withdrawn(f"branch, generation {generation} of {len(token.branch_ids) - 1}")
        return LIVE

    def has(self, token_id: str, branch_id: bytes) -> bool:
        """Tell whether a branch, or its whole token, is known to be withdrawn, however stale."""
        entry = self._withdrawn.get(token_id, ())
        return entry is _WHOLE or branch_id in entry

    @property
    def is_fresh(self) -> bool:
        """Whether a reading of the store has proven this view within the bound; never after an alarm."""
        return self._objection() is None

    def must_be_fresh(self) -> None:
        """Raise `CannotKnowError` unless fresh."""
        objection = self._objection()
        if objection is not None:
            raise CannotKnowError(objection)

    def must_be_sound(self) -> None:
        """Raise `CannotKnowError` after an alarm, or if this machine's clock left the store's."""
        if self._alarm is not None:
            raise CannotKnowError(self._alarm)
        if self._proven_at is not None and self._is_clock_off(self._clock.monotonic() - self._proven_at):
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

    def _objection(self) -> str | None:
        if self._alarm is not None:
            return self._alarm
        if self._proven_at is None:
            return _OUT_OF_TOUCH
        elapsed = self._clock.monotonic() - self._proven_at
        if elapsed > self._max_staleness:
            return _OUT_OF_TOUCH
        return _CLOCK_IS_OFF if self._is_clock_off(elapsed) else None

    def _is_clock_off(self, elapsed: float) -> bool:
        return abs(self._clock.now_ms() / 1000 - self.store_time - elapsed) > _MAX_CLOCK_OFF

    def must_have(self, revision: Revision) -> None:
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
        if change.number != self.revision.number + 1:
            return False
        if self.mark and change.before != self.mark:
            raise AnotherPastError
        self.take(change.withdrawals)
        self.stand_at(change.number, change.mark)
        return True

    def take(self, withdrawals: Iterable[Withdrawal]) -> None:
        """Take in entries of whatever revision. More than the store has is never wrong: it is a denial."""
        for withdrawal in withdrawals:
            if withdrawal.ends_at is not None:
                heapq.heappush(
                    self._ends, (withdrawal.ends_at, withdrawal.token_id, withdrawal.branch_id or b"")
                )
            if withdrawal.branch_id is None:
                self._withdrawn[withdrawal.token_id] = _WHOLE
                continue
            entry = self._withdrawn.setdefault(withdrawal.token_id, set())
            if entry is not _WHOLE:
                entry.add(withdrawal.branch_id)

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

    def entries(self) -> Iterator[Withdrawal]:
        """Return all entries as they are now, for an operator to look at: not for the hot path."""
        ends = {(token_id, branch_id): end for end, token_id, branch_id in self._ends}
        known = {
            token_id: [b""] if entry is _WHOLE else sorted(entry)
            for token_id, entry in self._withdrawn.items()
        }
        return (
            Withdrawal(token_id, branch_id or None, ends.get((token_id, branch_id)))
            for token_id, branch_ids in known.items()
            for branch_id in branch_ids
        )

    def prune(self) -> int:
        """Forget entries whose tokens ended over 24 hours ago by the store's time, at most 1,000 at once.

        Returns how many were looked at. Such a token is denied as expired, whatever is known of it.
        """
        for count in range(_PRUNED_AT_ONCE):
            if not self._ends or self._ends[0][0] + KEPT_SECONDS >= self.store_time:
                return count
            _, token_id, branch_id = heapq.heappop(self._ends)
            entry = self._withdrawn.get(token_id)
            if not branch_id or (entry is not None and entry <= {branch_id}):
                self._withdrawn.pop(token_id, None)
            elif entry is not None and entry is not _WHOLE:
                entry.discard(branch_id)
        return _PRUNED_AT_ONCE

    def __len__(self) -> int:
        """Return how many tokens have an entry."""
        return len(self._withdrawn)
