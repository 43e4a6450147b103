"""What a parent decides about its workers, from what it knows of them. Pure: no process, no clock.

A worker is replaced when it is past its bound while a sibling can prove that the store is to be read. Where
none can, it is the store that is out, and nothing is done.
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
"""What a start may take; fifteen million entries take half a minute."""

STALE: Final = "stale"
SILENT: Final = "silent"
"""Why a worker is replaced."""

_MIN_SILENCE_SECONDS: Final = 2.0
_RECENT_REPORT_SECONDS: Final = 1.0
_MAX_DEATHS: Final = 5
_DEATHS_WINDOW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker, as its parent knows it."""

    pid: int
    number: int
    phase: Phase
    since: float
    """Monotonic seconds of when the phase began."""

    report: Report | None = None
    is_outdated: bool = False
    """Whether it has to make room for a newer one."""


class ActionKind(StrEnum):
    """What can be done."""

    START = "start"
    DRAIN = "drain"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Action:
    """What to do now, with the worker of a number; `pid` is 0 for one that does not live yet."""

    kind: ActionKind
    number: int
    pid: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """How many there have to be, and the times in seconds that they are given."""

    workers: int
    max_staleness: float
    drain_seconds: float

    @property
    def max_silence(self) -> float:
        """After how many seconds without a report a worker is as good as stale."""
        return max(self.max_staleness, _MIN_SILENCE_SECONDS)


def decide(
    workers: Sequence[WorkerState],
    rules: Rules,
    now: float,
    *,
    not_before: Mapping[int, float] | None = None,
    is_alarmed: bool = False,
) -> list[Action]:
    """Return what to do at `now` (monotonic seconds).

    `not_before` says when the next of a number may be started. After an alarm nobody is started, and nobody
    replaced: a newcomer would know only what the store still knows.
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
            # At once, not after the newcomer is ready: all that it answers is that it cannot know, and the
            # callers on its connections are better off with a sibling.
            yield Action(ActionKind.DRAIN, each.number, each.pid, STALE)


def _has_just_read_the_store(state: WorkerState, now: float) -> bool:
    # Fresh is not enough: when the store goes, workers get stale one after the other, up to a poll apart.
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
    """How many workers died by themselves lately."""

    def __init__(self) -> None:
        """Begin with none."""
        self._deaths: deque[float] = deque(maxlen=_MAX_DEATHS + 1)

    def record_death(self, now: float) -> bool:
        """Take note of one at `now` (monotonic seconds); answers whether it is one too many for a minute."""
        self._deaths.append(now)
        return len(self._deaths) > _MAX_DEATHS and now - self._deaths[0] <= _DEATHS_WINDOW_SECONDS
