"""The laws of the checker blame what they are there for, and nothing else."""

from __future__ import annotations

import pytest

from faults.history import Asked, Held, History
from faults.watcher_log import Witness

BOUND = 0.5
ORG, OTHER = "acme", "cut0"


def held(token_id: str, org: str = ORG, *, began: float = 1.0) -> Held:
    handles = frozenset({token_id, f"{token_id}/root"})
    return Held(
        token_id, "", token_id, "root", handles, org, "web", frozenset({f"org {org}"}), began, began + 1
    )


@pytest.fixture
def history() -> History:
    made = History(BOUND)
    for token in (held("t"), held("live"), held("other", OTHER)):
        made.holds(token)
    return made


def revoke(history: History, token_id: str, number: int, at: float) -> None:
    revoked = history.revoking(token_id, at - 0.1)
    history.revoked(revoked, at, f"e.{number}", new_after="", entries=frozenset({token_id}))


def clear(history: History, org: str, number: int, at: float) -> None:
    revoked = history.clearing(f"org {org}", at - 0.1)
    history.revoked(revoked, at, f"e.{number}", new_after="", entries=frozenset({f"org {org}"}))


def witness(history: History, org: str | None = None) -> Witness:
    made = Witness("w", org, history)
    made.began("e.0")
    return made


def answer(history: History, token: Held, at: float, *, allowed: bool, process: str = "p") -> list[str]:
    reason = "" if allowed else "REVOKED"
    history.asked(Asked(0, process, token, at, at + 0.01, allowed, reason))
    return history.violations


def test_a_watcher_that_is_told_everything_is_blamed_for_nothing(history: History) -> None:
    all_orgs, own = witness(history), witness(history, ORG)
    revoke(history, "t", 1, at=5)
    clear(history, OTHER, 2, at=6)
    for each, entries in ((all_orgs, [f"org {OTHER}"]), (own, [])):
        each.was_told(["t"], "e.1", 5)
        each.is_fresh_as_of(5.9)
        each.was_told(entries, "e.2", 6)
        each.is_fresh_as_of(7)
        each.must_have_all()
    assert history.violations == []


def test_a_gap_is_blamed_on_a_watcher(history: History) -> None:
    watching = witness(history)
    watching.was_told([], "e.2", 5)
    assert "told of e.2 after 0" in history.violations[0]


def test_what_nobody_revoked_is_blamed_on_a_watcher(history: History) -> None:
    watching = witness(history)
    watching.was_told(["live", "t/branch", f"org {ORG}", "not-acknowledged-by-mint"], "e.1", 5)
    assert len(history.violations) == 3
    assert all("which nobody revoked" in each for each in history.violations)


def test_what_is_revoked_only_later_is_blamed_on_a_watcher(history: History) -> None:
    revoke(history, "t", 1, at=5)
    witness(history).was_told(["t"], "e.1", 4)
    assert "which nobody revoked" in history.violations[0]


def test_news_of_another_org_are_blamed_on_a_watcher_of_one(history: History) -> None:
    clear(history, OTHER, 1, at=5)
    revoke(history, "other", 2, at=6)
    watching = witness(history, ORG)
    watching.was_told([f"org {OTHER}"], "e.1", 5)
    watching.was_told(["other"], "e.2", 6)
    assert len(history.violations) == 2


def test_a_change_that_lacks_what_was_acknowledged_is_blamed_on_a_watcher(history: History) -> None:
    revoke(history, "t", 1, at=5)
    watching = witness(history)
    watching.was_told([], "e.1", 5)
    watching.must_have_all()
    assert "not told of {'t'} in 1" in history.violations[0]


def test_who_claims_to_know_all_and_does_not_is_blamed(history: History) -> None:
    revoke(history, "t", 1, at=5)
    watching = witness(history)
    watching.is_fresh_as_of(5)
    assert history.violations == []
    watching.is_fresh_as_of(5.01)
    assert "claims to know all as of 0.010 s after revision 1" in history.violations[0]


def test_clearing_a_place_ends_what_was_there_and_not_what_came_after(history: History) -> None:
    clear(history, ORG, 1, at=5)
    before, between, after = held("b", began=1), held("m", began=4.5), held("a", began=6)
    assert answer(history, before, 9, allowed=False) == []
    assert answer(history, between, 9, allowed=False) == []
    assert answer(history, held("m2", began=4.5), 9, allowed=True) == []
    assert answer(history, after, 9, allowed=True) == []
    assert len(answer(history, held("b2"), 9, allowed=True)) == 1
    assert len(answer(history, held("a2", began=6), 9, allowed=False)) == 2


def test_a_clearing_that_was_not_acknowledged_may_come_at_any_time(history: History) -> None:
    history.clearing(f"org {ORG}", 4)
    for name in ("before", "after"):
        token = held(name, began=1 if name == "before" else 6)
        assert answer(history, token, 9, allowed=True) == []
        assert answer(history, token, 9.1, allowed=False) == []


def test_a_process_that_has_denied_does_not_allow_again_but_its_sibling_may_for_a_moment(
    history: History,
) -> None:
    revoke(history, "t", 1, at=5)
    token = held("t")
    assert answer(history, token, 5.05, allowed=False) == []
    assert answer(history, token, 5.1, allowed=True, process="sibling") == []
    assert len(answer(history, token, 5.1, allowed=True)) == 1
