"""Decisions: which tokens allow an access, and what revocation and missing knowledge change."""

from __future__ import annotations

from typing import Any

import pytest

from almond_core import caveats
from almond_core.chain import VerifiedToken
from almond_core.decision import LIVE, Decision, Judged, Revoked, decide, judge
from almond_core.errors import Reason
from almond_core.header import present
from almond_core.masks import parse_actions
from almond_core.model import Access, Circumstances
from core.strategies import NOW, Keys, NothingRevoked, genuine, minted

ACCESS = Access(org="acme", app="web", actions=parse_actions("r"))
WHEN = Circumstances(NOW)
GOOD = minted(caveats.parse(["org", "acme", "*"]))
WRONG = minted(caveats.parse(["org", "other", "*"]))


class Everything:
    """Revocations that give the same answer for every token."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def standing(self, token: VerifiedToken, org: str | None) -> Any:
        return self._answer


class UnknownError(Exception):
    """The answer cannot be known."""


class Unknown:
    """Keys and revocations that cannot be known."""

    def standing(self, token: VerifiedToken, org: str | None) -> Any:
        raise UnknownError

    def prk(self, key_id: str) -> bytes | None:
        raise UnknownError


def test_a_decision_without_any_judgement_denies() -> None:
    assert not Decision(())


def test_a_revoked_token_is_denied_whatever_its_caveats_permit() -> None:
    assert decide(present(GOOD), ACCESS, WHEN, Keys(), NothingRevoked())
    decision = decide(
        present(GOOD),
        ACCESS,
        WHEN,
        Keys(),
        Everything(Revoked("the token as minted, and all derived from it")),
    )
    assert not decision
    assert [denial.reason for denial in decision.denials] == [Reason.REVOKED]


def test_a_revoked_token_gets_its_other_denials_too() -> None:
    decision = decide(present(WRONG), ACCESS, WHEN, Keys(), Everything(Revoked("branch")))
    assert [denial.reason for denial in decision.denials] == [Reason.REVOKED, Reason.WRONG_ORG]


@pytest.mark.parametrize("answer", [None, False, True, "", "live", 0])
def test_an_answer_that_is_not_live_never_allows(answer: Any) -> None:
    assert not decide(present(GOOD), ACCESS, WHEN, Keys(), Everything(answer))


def test_there_is_no_decision_without_keys_or_revocations() -> None:
    with pytest.raises(UnknownError):
        decide(present(GOOD), ACCESS, WHEN, Keys(), Unknown())
    with pytest.raises(UnknownError):
        decide(present(GOOD), ACCESS, WHEN, Unknown(), NothingRevoked())


def test_a_live_token_whose_clearance_refuses_never_permits() -> None:
    clearance = caveats.clear(genuine(WRONG), ACCESS, WHEN)
    assert not Judged(clearance, LIVE, ()).permits
    assert not judge(clearance, LIVE).permits


def test_the_facts_are_of_the_first_token_that_permits() -> None:
    decision = decide(present(f"{WRONG},{GOOD}"), ACCESS, WHEN, Keys(), NothingRevoked())
    assert decision
    assert (decision.permitting, decision.subject_index, decision.denials) == (1, 1, ())
    assert decision.token == genuine(GOOD)


def test_denied_alternatives_name_their_index_and_the_first_genuine_one() -> None:
    decision = decide(present(f"Bearer alm1_x, {WRONG}"), ACCESS, WHEN, Keys(), NothingRevoked())
    found = [(denial.token_index, denial.reason) for denial in decision.denials]
    assert found == [(0, Reason.TRUNCATED), (1, Reason.WRONG_ORG)]
    assert (decision.permitting, decision.subject_index) == (None, 1)


@pytest.mark.parametrize("text", ["", " ", "Bearer", "bearer ", ",", "Bearer ,"])
def test_no_token_at_all_is_missing(text: str) -> None:
    decision = decide(present(text), ACCESS, WHEN, Keys(), NothingRevoked())
    assert {denial.reason for denial in decision.denials} == {Reason.MISSING}


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer ", "MACAROON ", "Macaroon  "])
def test_the_scheme_is_optional_and_of_any_case(scheme: str) -> None:
    assert decide(present(scheme + GOOD), ACCESS, WHEN, Keys(), NothingRevoked())


def test_nine_tokens_are_too_many() -> None:
    decision = decide(present(",".join([GOOD] * 9)), ACCESS, WHEN, Keys(), NothingRevoked())
    assert [denial.reason for denial in decision.denials] == [Reason.TOO_LARGE]
    assert decide(present(",".join([WRONG] * 7 + [GOOD])), ACCESS, WHEN, Keys(), NothingRevoked())
