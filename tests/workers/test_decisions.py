"""The parent's decisions about its workers, as a function of their states."""

from __future__ import annotations

from dataclasses import replace

import pytest

from almond_server.telemetry.status import Knowledge, Phase, Report
from almond_server.workers.decisions import Action, ActionKind, RestartBudget, Rules, WorkerState, decide

NOW = 1000.0
RULES = Rules(workers=2, max_staleness=5.0, drain_seconds=15.0)


def report(
    knowledge: Knowledge = Knowledge.FRESH, ago: float = 0.1, *, is_recent: bool | None = None
) -> Report:
    recent = knowledge == Knowledge.FRESH if is_recent is None else is_recent
    return Report(knowledge, recent, NOW - ago)


def serving(pid: int, number: int, sent: Report | None = None, *, is_outdated: bool = False) -> WorkerState:
    return WorkerState(pid, number, Phase.SERVING, NOW - 100, sent or report(), is_outdated)


def in_phase(phase: Phase, lasts: float, pid: int = 11, number: int = 1) -> WorkerState:
    return WorkerState(pid, number, phase, NOW - lasts)


FRESH = serving(22, 2)
STALE = report(Knowledge.STALE)
ALARMED = report(Knowledge.ALARMED)


def test_all_missing_workers_are_started() -> None:
    assert decide([], RULES, NOW) == [Action(ActionKind.START, 1), Action(ActionKind.START, 2)]
    assert decide([FRESH], RULES, NOW) == [Action(ActionKind.START, 1)]


def test_nothing_is_done_while_all_serve_or_start() -> None:
    assert decide([serving(11, 1), FRESH], RULES, NOW) == []
    assert decide([in_phase(Phase.STARTING, 299), FRESH], RULES, NOW) == []


def test_a_worker_that_was_refused_is_not_started_again_before_its_time() -> None:
    assert decide([FRESH], RULES, NOW, not_before={1: NOW + 1}) == []
    assert decide([FRESH], RULES, NOW, not_before={1: NOW}) == [Action(ActionKind.START, 1)]


@pytest.mark.parametrize(
    ("sent", "kind", "why"),
    [
        (STALE, ActionKind.DRAIN, "stale"),
        (report(ago=5.1), ActionKind.KILL, "silent"),
        (report(Knowledge.STALE, ago=5.1), ActionKind.KILL, "silent"),
    ],
)
def test_a_stale_or_silent_worker_is_ended_at_once_and_another_is_started(
    sent: Report, kind: ActionKind, why: str
) -> None:
    done = decide([serving(11, 1, sent), FRESH], RULES, NOW)
    assert done == [Action(kind, 1, 11, why), Action(ActionKind.START, 1)]


def test_silence_within_the_bound_is_no_fault() -> None:
    assert decide([serving(11, 1, report(ago=4.9)), FRESH], RULES, NOW) == []
    shortest = replace(RULES, max_staleness=0.5)
    assert decide([serving(11, 1, report(ago=1.9)), FRESH], shortest, NOW) == []
    assert decide([serving(11, 1, report(ago=2.1)), FRESH], shortest, NOW)[0].kind == ActionKind.KILL


@pytest.mark.parametrize(
    "sibling",
    [
        serving(22, 2, STALE),
        serving(22, 2, report(ago=5.1)),
        serving(22, 2, report(ago=1.1)),
        # The store has failed, and this worker has not noticed yet.
        serving(22, 2, report(is_recent=False)),
        in_phase(Phase.STARTING, 1, 22, 2),
        replace(FRESH, phase=Phase.LEAVING),
    ],
)
def test_no_worker_is_replaced_unless_another_proves_the_store(sibling: WorkerState) -> None:
    done = decide([serving(11, 1, STALE), sibling], RULES, NOW)
    assert not [action for action in done if action.pid == 11]


def test_after_an_alarm_no_worker_is_started_or_replaced() -> None:
    workers = [serving(11, 1, ALARMED), serving(22, 2, STALE), serving(33, 3)]
    assert decide(workers, replace(RULES, workers=4), NOW, is_alarmed=True) == []
    assert decide([serving(11, 1, is_outdated=True), FRESH], RULES, NOW, is_alarmed=True) == []


def test_an_alarmed_worker_is_not_replaced() -> None:
    assert decide([serving(11, 1, ALARMED), FRESH], RULES, NOW) == []


@pytest.mark.parametrize("is_alarmed", [False, True])
def test_a_worker_that_takes_too_long_is_killed(is_alarmed: bool) -> None:
    slow = [in_phase(Phase.LEAVING, 15.1), in_phase(Phase.STARTING, 300.1, 22, 2)]
    killed = [
        each.pid for each in decide(slow, RULES, NOW, is_alarmed=is_alarmed) if each.kind == ActionKind.KILL
    ]
    assert killed == [11, 22]
    assert decide([in_phase(Phase.LEAVING, 14.9), serving(12, 1), FRESH], RULES, NOW) == []


def test_a_rolling_restart_goes_one_by_one_and_starts_the_new_worker_first() -> None:
    one, two = serving(11, 1, is_outdated=True), serving(22, 2, is_outdated=True)
    assert decide([one, two], RULES, NOW) == [Action(ActionKind.START, 1, why="rolling")]
    assert decide([one, two, in_phase(Phase.STARTING, 1, 13)], RULES, NOW) == []
    assert decide([one, two, serving(13, 1, STALE)], RULES, NOW)[0].pid == 13
    assert decide([one, two, serving(13, 1)], RULES, NOW) == [Action(ActionKind.DRAIN, 1, 11, "rolling")]
    assert decide([in_phase(Phase.LEAVING, 1), two, serving(13, 1)], RULES, NOW) == []
    assert decide([serving(13, 1), two], RULES, NOW) == [Action(ActionKind.START, 2, why="rolling")]
    assert decide([serving(13, 1), serving(23, 2)], RULES, NOW) == []


def test_a_dead_worker_is_started_again_before_a_rolling_restart() -> None:
    assert decide([serving(22, 2, is_outdated=True)], RULES, NOW) == [Action(ActionKind.START, 1)]


def test_six_deaths_within_a_minute_are_one_too_many() -> None:
    budget = RestartBudget()
    assert [budget.record_death(NOW + second) for second in range(5)] == [False] * 5
    assert budget.record_death(NOW + 60)
    assert not budget.record_death(NOW + 61.1)
