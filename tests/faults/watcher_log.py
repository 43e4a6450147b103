"""The laws for one watcher, checked against everything that it received; times are as in `history.py`."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

from faults.history import AcknowledgedRevocation, History, number_of


@dataclass
class WatcherLog:
    """What a watcher of all orgs, or of one, has received."""

    name: str
    org: str | None
    history: History
    number: int | None = None
    """The revision up to which it received every change; None until the watch has started."""

    first: int = 0
    """The revision after which it started."""

    heartbeats: int = 0
    proven_at: float = 0.0
    """The moment up to which it has everything, by the heartbeats that it received."""

    _received: dict[int, frozenset[str]] = field(default_factory=dict)
    _parts: list[str] = field(default_factory=list)
    _checked: int = 0

    def start(self, revision: str) -> None:
        """Note that the watch started after a revision; it must start only once."""
        self.history.expect(self.number is None, f"{self.name} started anew at {revision}")
        self.number = self.first = number_of(revision)

    def add_change(self, entries: Iterable[str], revision: str, at: float) -> None:
        """Check a change, or a part of one if it has no revision: in order, without gaps, and requested.

        A part may come twice.
        """
        for entry in entries:
            self.history.expect(
                self.history.was_requested(entry, at),
                f"{self.name} received {entry}, which no client revoked",
            )
            self.history.expect(self._is_concerned(entry), f"{self.name} of {self.org} received {entry}")
            self._parts.append(entry)
        if not revision:
            return
        number = number_of(revision)
        self.history.expect(
            self.number is not None and number == self.number + 1,
            f"{self.name} received {revision} after {self.number}",
        )
        self._received[number], self._parts = frozenset(self._parts), []
        self.number = number

    def add_heartbeat(self, at: float) -> None:
        """Check a heartbeat: it promises that the watcher has all that was acknowledged before `at`."""
        self.heartbeats += 1
        self.proven_at = max(self.proven_at, at)
        acknowledged = self.history.acknowledged
        count = bisect.bisect_left(acknowledged, at, key=lambda each: each.at)
        if count and self.number is not None and acknowledged[count - 1].newest > self.number:
            missed = acknowledged[count - 1]
            self.history.expect(
                False,
                f"{self.name} claims to have all as of {at - missed.at:.3f} s after revision {missed.newest} "
                f"was acknowledged, and has up to {self.number}",
            )

    def expect_all(self) -> None:
        """Check that it received all that was acknowledged so far, each in the change of its revision."""
        for each in self.history.acknowledged[self._checked :]:
            if self.number is None or self.first < each.number:
                self._expect(each)
        self._checked = len(self.history.acknowledged)

    def _expect(self, acknowledged: AcknowledgedRevocation) -> None:
        received = self._received.get(acknowledged.number)
        self.history.expect(
            received is not None, f"{self.name} never received revision {acknowledged.number}"
        )
        wanted = frozenset(each for each in acknowledged.entries if self._is_concerned(each))
        if received is not None and wanted:
            self.history.expect(
                bool(wanted & received), f"{self.name} did not receive {set(wanted)} in {acknowledged.number}"
            )

    def _is_concerned(self, entry: str) -> bool:
        return self.org is None or self.history.may_concern(entry, self.org)
