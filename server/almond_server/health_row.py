"""A row of `/health`: what an operator is told of one process that serves."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from almond_server.workforce import Knowledge, Phase


class HealthRow:
    """The state of one process, and since when it is that."""

    def __init__(self, worker: int = 1, pid: int | None = None) -> None:
        """Begin as starting; `pid` is that of this process by default."""
        self._worker = worker
        self._pid = os.getpid() if pid is None else pid
        self._enter(Phase.STARTING)

    def turn(self, state: Phase | Knowledge) -> None:
        """Take note of the state it is in. Who leaves stays leaving."""
        if self._state not in {state, Phase.LEAVING}:
            self._enter(state)

    def told(self) -> dict[str, object]:
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
