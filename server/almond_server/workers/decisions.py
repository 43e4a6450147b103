"""Decides which workers to start, drain or kill, from their states. Pure: no process, no clock.

Rules:

* A worker that is stale or silent is replaced only while another worker proves that the store can be read. If
  none can, the store itself is unavailable, and replacing workers would not help.
* After an alarm (the store went backwards or was exchanged) no worker is started and none is replaced: a new
  one would hold only what the store still holds.
* A rolling restart goes one number at a time: first the new worker is fresh, then the old one is drained.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from almond_server.telemetry.status import Knowledge, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from almond_server.telemetry.status import Report

START_SECONDS: Final = 300.0
"""The limit for a start. Loading fifteen million entries takes half a minute."""

STALE: Final = "stale"
SILENT: Final = "silent"
"""The two reasons for replacing a worker."""

_MIN_SILENCE_SECONDS: Final = 2.0
_RECENT_REPORT_SECONDS: Final = 1.0
_MAX_DEATHS: Final = 5
_DEATHS_WINDOW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class WorkerState:
    """The state of one worker, as its parent sees it."""

    pid: int
    number: int
    phase: Phase
    since: float
    """When the phase began, in monotonic seconds."""

    report: Report | None = None
    is_outdated: bool = False
    """Whether a rolling restart has still to replace it."""


class ActionKind(StrEnum):
    """The actions that the parent can take on a worker."""

    START = "start"
    DRAIN = "drain"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Action:
    """One action on the worker with this number. `pid` is 0 for a worker that is still to be started."""

    kind: ActionKind
    number: int
    pid: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """How many workers there must be, and their time limits in seconds."""

    workers: int
    max_staleness: float
    drain_seconds: float

    @property
    def max_silence(self) -> float:
        """Seconds without a report after which a worker is killed, as it may be stale."""
        return max(self.max_staleness, _MIN_SILENCE_SECONDS)


def decide(
    workers: Sequence[WorkerState],
    rules: Rules,
    now: float,
    *,
    not_before: Mapping[int, float] | None = None,
    is_alarmed: bool = False,
) -> list[Action]:
    """Return the actions for `now` (monotonic seconds).

    `not_before` gives, by number, the earliest time at which a worker may be started again. With `is_alarmed`
    the only actions are kills of workers that exceeded their time for starting or draining.
    """
    actions = list(_overdue(workers, rules, now))
    if is_alarmed:
        return actions
    actions += _replacements(workers, rules, now)
    ended = {action.pid for action in actions}
    present = {each.number for each in workers if each.phase != Phase.LEAVING and each.pid not in ended}
    start_after = not_before or {}
    missing = [n for n in range(1, rules.workers + 1) if n not in present and start_after.get(n, now) <= now]
    actions += [Action(ActionKind.START, number) for number in missing]
    return actions or list(_rolling_restart(workers))


def _overdue(workers: Sequence[WorkerState], rules: Rules, now: float) -> Iterable[Action]:
    for each in workers:
        elapsed = now - each.since
        if each.phase == Phase.LEAVING and elapsed > rules.drain_seconds:
            yield Action(ActionKind.KILL, each.number, each.pid, "did not drain in time")
        if each.phase == Phase.STARTING and elapsed > START_SECONDS:
            yield Action(ActionKind.KILL, each.number, each.pid, "did not start in time")


def _replacements(workers: Sequence[WorkerState], rules: Rules, now: float) -> Iterable[Action]:
    serving = [each for each in workers if each.phase == Phase.SERVING]
    if not any(_has_just_read_the_store(each, now) for each in serving):
        return
    for each in serving:
        silence = now - (each.report.at if each.report else each.since)
        if silence > rules.max_silence:
            yield Action(ActionKind.KILL, each.number, each.pid, SILENT)
        elif each.report is not None and each.report.knowledge == Knowledge.STALE:
            # At once, not after its successor is ready: a stale worker answers only UNAVAILABLE, and the
            # clients on its connections are better served by another worker.
            yield Action(ActionKind.DRAIN, each.number, each.pid, STALE)


def _has_just_read_the_store(state: WorkerState, now: float) -> bool:
    # Being fresh is not enough: when the store fails, workers become stale at different times, up to one
    # poll interval apart.
    report = state.report
    return (
        report is not None
        and report.knowledge == Knowledge.FRESH
        and report.is_recent
        and now - report.at <= _RECENT_REPORT_SECONDS
    )


def _rolling_restart(workers: Sequence[WorkerState]) -> Iterable[Action]:
    if any(each.phase != Phase.SERVING for each in workers):
        return
    outdated = min((each for each in workers if each.is_outdated), key=lambda each: each.number, default=None)
    if outdated is None:
        return
    successors = [each for each in workers if each.number == outdated.number and not each.is_outdated]
    if not successors:
        yield Action(ActionKind.START, outdated.number, why="rolling")
    elif any(each.report and each.report.knowledge == Knowledge.FRESH for each in successors):
        yield Action(ActionKind.DRAIN, outdated.number, outdated.pid, "rolling")


class RestartBudget:
    """The number of recent worker deaths: more than five within a minute are too many."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=_MAX_DEATHS + 1)

    def record_death(self, now: float) -> bool:
        """Record a death at `now` (monotonic seconds); return whether it exceeds the budget."""
        self._deaths.append(now)
        return len(self._deaths) > _MAX_DEATHS and now - self._deaths[0] <= _DEATHS_WINDOW_SECONDS
