"""What one watcher was told, and the laws that it must not have broken; times as in `history.py`."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

from faults.history import Acknowledged, History, number_of


@dataclass
class Witness:
    """A watcher of all, or of one org."""

    name: str
    org: str | None
    history: History
    number: int | None = None
    """Up to where it was told everything; None until it has begun."""

    first: int = 0
    """After which revision it began."""

    heartbeats: int = 0
    proven_at: float = 0.0
    """As of when it was told everything, by its own word."""

    _told: dict[int, frozenset[str]] = field(default_factory=dict)
    _parts: list[str] = field(default_factory=list)
    _checked: int = 0

    def began(self, revision: str) -> None:
        """It watches from here on; it may say so but once."""
        self.history.must(self.number is None, f"{self.name} began anew at {revision}")
        self.number = self.first = number_of(revision)

    def was_told(self, entries: Iterable[str], revision: str, at: float) -> None:
        """A change, or a part of one if it has no revision: one after the other, and none that is made up.

        Parts may come again.
        """
        for entry in entries:
            self.history.must(
                self.history.was_asked_for(entry, at), f"{self.name} told of {entry}, which nobody revoked"
            )
            self.history.must(self._is_concerned(entry), f"{self.name} of {self.org} told of {entry}")
            self._parts.append(entry)
        if not revision:
            return
        number = number_of(revision)
        self.history.must(
            self.number is not None and number == self.number + 1,
            f"{self.name} told of {revision} after {self.number}",
        )
        self._told[number], self._parts = frozenset(self._parts), []
        self.number = number

    def is_fresh_as_of(self, at: float) -> None:
        """It says that it was told all that was acknowledged before."""
        self.heartbeats += 1
        self.proven_at = max(self.proven_at, at)
        acknowledged = self.history.acknowledged
        count = bisect.bisect_left(acknowledged, at, key=lambda each: each.at)
        if count and self.number is not None and acknowledged[count - 1].newest > self.number:
            missed = acknowledged[count - 1]
            self.history.must(
                False,
                f"{self.name} claims to know all as of {at - missed.at:.3f} s after revision {missed.newest} "
                f"was acknowledged, and was told up to {self.number}",
            )

    def must_have_all(self) -> None:
        """Whatever was acknowledged so far must have been told, in the change of its revision."""
        for each in self.history.acknowledged[self._checked :]:
            if self.number is None or self.first < each.number:
                self._must_have(each)
        self._checked = len(self.history.acknowledged)

    def _must_have(self, acknowledged: Acknowledged) -> None:
        told = self._told.get(acknowledged.number)
        self.history.must(told is not None, f"{self.name} never told of revision {acknowledged.number}")
        wanted = frozenset(each for each in acknowledged.entries if self._is_concerned(each))
        if told is not None and wanted:
            self.history.must(
                bool(wanted & told), f"{self.name} not told of {set(wanted)} in {acknowledged.number}"
            )

    def _is_concerned(self, entry: str) -> bool:
        return self.org is None or self.history.may_be_of(entry, self.org)
