"""The status of one serving process: its row in `/health`, and the reports that a worker sends its parent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

REPORT_SECONDS: Final = 0.25
"""Seconds between two reports."""


class Phase(StrEnum):
    """The phase of a worker's life, as its parent sees it."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"


class Knowledge(StrEnum):
    """How current a server's knowledge of revocations is."""

    FRESH = "fresh"
    STALE = "stale"
    ALARMED = "alarmed"
    """The store went backwards or was exchanged: this process may hold revocations that nothing else does."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report of a process about itself; a worker sends one every `REPORT_SECONDS`."""

    knowledge: Knowledge
    is_recent: bool
    """Whether the reading of the store that proves it is at most half of `max_staleness` old."""

    at: float
    """When it was made, in monotonic seconds, which all processes of a machine share."""

    why: str = ""
    """Why it is not fresh, as a sentence; empty while it is."""


class StatusRow:
    """The row of one process in `/health`: its state, and since when it has that state."""

    def __init__(self, worker: int = 1, pid: int | None = None) -> None:
        """The state is `starting` at first. `pid` is this process's own by default."""
        self._worker = worker
        self._pid = os.getpid() if pid is None else pid
        self._why = ""
        self._enter(Phase.STARTING)

    def set(self, state: Phase | Knowledge, why: str = "") -> None:
        """Set the state, and why it is not fresh. A process that is leaving stays leaving."""
        if self._state not in {state, Phase.LEAVING}:
            self._enter(state)
        self._why = why

    def as_dict(self) -> dict[str, object]:
        """Return the row for JSON; `since` is an RFC 3339 time."""
        return {
            "worker": self._worker,
            "pid": self._pid,
            "fresh": self._state == Knowledge.FRESH,
            "state": str(self._state),
            "since": self._since,
            "why": self._why,
        }

    def _enter(self, state: Phase | Knowledge) -> None:
        self._state: Phase | Knowledge = state
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
