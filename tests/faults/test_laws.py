"""The laws of the fault checker report exactly the violations that they are there for."""

from __future__ import annotations

import pytest

from faults.history import HeldToken, History, VerifyCall
from faults.watcher_log import WatcherLog

BOUND = 0.5
ORG, OTHER = "acme", "cut0"


def held(token_id: str, org: str = ORG, *, began: float = 1.0) -> HeldToken:
    handles = frozenset({token_id, f"{token_id}/root"})
    scopes = frozenset({f"org {org}"})
    return HeldToken(token_id, "", token_id, "root", handles, org, "web", scopes, began, began + 1)


@pytest.fixture
def history() -> History:
    made = History(BOUND)
    for token in (held("t"), held("live"), held("other", OTHER)):
        made.add_token(token)
    return made


def revoke(history: History, token_id: str, number: int, at: float) -> None:
    call = history.begin_revoke(token_id, at - 0.1)
    history.end_revoke(call, at, f"e.{number}", new_after="", entries=frozenset({token_id}))


def revoke_org(history: History, org: str, number: int, at: float) -> None:
    call = history.begin_bulk_revoke(f"org {org}", at - 0.1)
    history.end_revoke(call, at, f"e.{number}", new_after="", entries=frozenset({f"org {org}"}))


def watcher(history: History, org: str | None = None) -> WatcherLog:
    made = WatcherLog("w", org, history)
    made.start("e.0")
    return made


def verify(history: History, token: HeldToken, at: float, *, allowed: bool, process: str = "p") -> list[str]:
    reason = "" if allowed else "REVOKED"
    history.add_verify(VerifyCall(0, process, token, at, at + 0.01, allowed, reason))
    return history.violations


def test_a_watcher_that_receives_everything_breaks_no_law(history: History) -> None:
    all_orgs, own = watcher(history), watcher(history, ORG)
    revoke(history, "t", 1, at=5)
    revoke_org(history, OTHER, 2, at=6)
    for each, entries in ((all_orgs, [f"org {OTHER}"]), (own, [])):
        each.add_change(["t"], "e.1", 5)
        each.add_heartbeat(5.9)
        each.add_change(entries, "e.2", 6)
        each.add_heartbeat(7)
        each.expect_all()
    assert history.violations == []


def test_a_gap_in_what_a_watcher_receives_is_a_violation(history: History) -> None:
    log = watcher(history)
    log.add_change([], "e.2", 5)
    assert "received e.2 after 0" in history.violations[0]


def test_a_change_with_what_no_client_revoked_is_a_violation(history: History) -> None:
    log = watcher(history)
    log.add_change(["live", "t/branch", f"org {ORG}", "not-acknowledged-by-mint"], "e.1", 5)
    assert len(history.violations) == 3
    assert all("which no client revoked" in each for each in history.violations)


def test_a_change_with_what_is_revoked_only_later_is_a_violation(history: History) -> None:
    revoke(history, "t", 1, at=5)
    watcher(history).add_change(["t"], "e.1", 4)
    assert "which no client revoked" in history.violations[0]


def test_a_change_with_another_org_is_a_violation_for_a_watcher_of_one(history: History) -> None:
    revoke_org(history, OTHER, 1, at=5)
    revoke(history, "other", 2, at=6)
    log = watcher(history, ORG)
    log.add_change([f"org {OTHER}"], "e.1", 5)
    log.add_change(["other"], "e.2", 6)
    assert len(history.violations) == 2


def test_a_change_without_what_was_acknowledged_is_a_violation(history: History) -> None:
    revoke(history, "t", 1, at=5)
    log = watcher(history)
    log.add_change([], "e.1", 5)
    log.expect_all()
    assert "did not receive {'t'} in 1" in history.violations[0]


def test_a_heartbeat_that_claims_too_much_is_a_violation(history: History) -> None:
    revoke(history, "t", 1, at=5)
    log = watcher(history)
    log.add_heartbeat(5)
    assert history.violations == []
    log.add_heartbeat(5.01)
    assert "claims to have all as of 0.010 s after revision 1" in history.violations[0]


def test_revoking_a_scope_revokes_what_was_in_it_and_not_what_came_after(history: History) -> None:
    revoke_org(history, ORG, 1, at=5)
    before, between, after = held("b", began=1), held("m", began=4.5), held("a", began=6)
    assert verify(history, before, 9, allowed=False) == []
    assert verify(history, between, 9, allowed=False) == []
    assert verify(history, held("m2", began=4.5), 9, allowed=True) == []
    assert verify(history, after, 9, allowed=True) == []
    assert len(verify(history, held("b2"), 9, allowed=True)) == 1
    assert len(verify(history, held("a2", began=6), 9, allowed=False)) == 2


def test_a_bulk_revocation_that_was_not_acknowledged_may_take_effect_at_any_time(history: History) -> None:
    history.begin_bulk_revoke(f"org {ORG}", 4)
    for name in ("before", "after"):
        token = held(name, began=1 if name == "before" else 6)
        assert verify(history, token, 9, allowed=True) == []
        assert verify(history, token, 9.1, allowed=False) == []


def test_a_process_that_denied_must_go_on_denying_but_another_may_be_late(history: History) -> None:
    revoke(history, "t", 1, at=5)
    token = held("t")
    assert verify(history, token, 5.05, allowed=False) == []
    assert verify(history, token, 5.1, allowed=True, process="sibling") == []
    assert len(verify(history, token, 5.1, allowed=True)) == 1
