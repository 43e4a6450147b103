"""A row of `/health`: what an operator is told of one process that serves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

REPORT_SECONDS: Final = 0.25


class Phase(StrEnum):
    """Where a worker is in its life, as its parent sees it."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"


class Knowledge(StrEnum):
    """What a worker says of itself."""

    FRESH = "fresh"
    STALE = "stale"
    ALARMED = "alarmed"
    """The store went backwards or was exchanged: what this worker knows may be nowhere else."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells four times a second."""

    knowledge: Knowledge
    is_recent: bool
    """Whether a reading of the store proves it that is no older than half the bound."""

    at: float
    """Monotonic seconds, which all processes of a machine share."""


class StatusRow:
    """The state of one process, and since when it is that."""

    def __init__(self, worker: int = 1, pid: int | None = None) -> None:
        """Begin as starting; `pid` is that of this process by default."""
        self._worker = worker
        self._pid = os.getpid() if pid is None else pid
        self._enter(Phase.STARTING)

    def set(self, state: Phase | Knowledge) -> None:
        """Take note of the state it is in. Who leaves stays leaving."""
        if self._state not in {state, Phase.LEAVING}:
            self._enter(state)

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON; `since` is an RFC 3339 time."""
        return {
            "worker": self._worker,
            "pid": self._pid,
            "fresh": self._state == Knowledge.FRESH,
            "state": str(self._state),
            "since": self._since,
        }

    def _enter(self, state: Phase | Knowledge) -> None:
        self._state: Phase | Knowledge = state
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
