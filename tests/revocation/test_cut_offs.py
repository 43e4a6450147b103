"""Cut-offs deny tokens by their issue time; more cut-offs never deny less."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_core.chain import VerifiedToken
from almond_core.decision import LIVE, Revoked
from almond_core.model import Identity, token_id_at
from almond_server.domain import cut_off_text
from almond_server.domain.revocations import Change, CutOff, Reading, Scope
from almond_server.revocation.index.cut_offs import CutOffs
from almond_server.revocation.index.view import RevocationView
from support.clock import SetClock

T = 1_800_000_000_000
ORGS, SUBJECTS, KEYS = ("acme", "other", "almond"), ("user:ann", "service:ci"), ("k1", "k2")
TIMES = st.integers(T - 2, T + 2)


def token(key: str = "k1", at: int = T, home: str = "acme", subject: str = "") -> VerifiedToken:
    return VerifiedToken(Identity(key, token_id_at(at, bytes(10)), "org", home, subject), (), (), b"")


timed = st.builds(CutOff, st.just(Scope.ORG), st.sampled_from(ORGS), TIMES) | st.builds(
    CutOff, st.just(Scope.SUBJECT), st.sampled_from(SUBJECTS), TIMES
)
cut_offs = st.lists(
    timed | st.builds(CutOff, st.just(Scope.KEY), st.sampled_from(KEYS), st.none()), max_size=8
)
tokens = st.builds(
    token,
    st.sampled_from(KEYS),
    TIMES,
    st.sampled_from([*ORGS, ""]),
    st.sampled_from([*SUBJECTS, ""]),
)
places = st.sampled_from([*ORGS, None])


def is_cut_off(known: list[CutOff], each: VerifiedToken, org: str | None) -> bool:
    """Return what the rule says, one cut-off after the other."""
    its = each.identity
    return any(
        (it.scope is Scope.KEY and it.name == its.key_id)
        or (
            it.until_ms is not None
            and its.issued_at_ms <= it.until_ms
            and (
                (it.scope is Scope.SUBJECT and it.name == its.subject)
                or (it.scope is Scope.ORG and it.name == org and its.home_org != "almond")
            )
        )
        for it in known
    )


@given(cut_offs, tokens, places)
def test_it_denies_what_the_rule_says(known: list[CutOff], each: VerifiedToken, org: str | None) -> None:
    assert (CutOffs(known).standing(each, org) is not LIVE) == is_cut_off(known, each, org)


@given(cut_offs, st.randoms(use_true_random=False), tokens, places)
def test_the_order_of_cut_offs_does_not_matter(
    known: list[CutOff], chance: random.Random, each: VerifiedToken, org: str | None
) -> None:
    shuffled = [*known, *known[:2]]
    chance.shuffle(shuffled)
    assert CutOffs(known).standing(each, org) == CutOffs(shuffled).standing(each, org)
    assert set(CutOffs(known)) == set(CutOffs(shuffled))


@given(cut_offs, cut_offs, tokens, places)
def test_another_cut_off_never_denies_less(
    known: list[CutOff], more: list[CutOff], each: VerifiedToken, org: str | None
) -> None:
    if CutOffs(known).standing(each, org) is not LIVE:
        assert CutOffs([*known, *more]).standing(each, org) is not LIVE


@given(cut_offs, TIMES, places)
def test_a_token_of_any_org_is_under_no_orgs_cut_off(known: list[CutOff], at: int, org: str | None) -> None:
    of_orgs = CutOffs(each for each in known if each.scope is Scope.ORG)
    assert of_orgs.standing(token(at=at, home="almond"), org) is LIVE


def test_a_denial_names_the_scope_and_the_time() -> None:
    known = CutOffs([CutOff(Scope.ORG, "acme", T + 7), CutOff(Scope.KEY, "k2", None)])
    said = Revoked("everything of org acme issued until 2027-01-15T08:00:00.007Z")
    assert known.standing(token(), "acme") == said
    assert known.standing(token(key="k2", at=2**47), None) == Revoked("everything made with key k2")


def test_the_view_has_them_once_the_revision_is_reached(clock: SetClock) -> None:
    view = RevocationView("0a1b2c3d", 5.0, clock)
    view.prove(Reading("0a1b2c3d", 0, b"0", T // 1000), clock.monotonic())
    change = Change(1, b"1", b"0", (), (CutOff(Scope.ORG, "acme", T),))
    assert view.standing(token(), "acme") is LIVE
    assert not view.apply(replace(change, number=2))
    assert view.standing(token(), "acme") is LIVE
    assert view.apply(change)
    assert view.standing(token(), "acme") is not LIVE
    assert view.standing(token(), "other") is view.standing(token(at=T + 1), "acme") is LIVE
    assert list(view.cut_offs()) == [CutOff(Scope.ORG, "acme", T)]
    view.store_time += 10**9
    view.prune()
    assert len(list(view.cut_offs())) == 1


@given(timed, st.text(st.characters(codec="utf-8"), max_size=9))
def test_a_row_of_the_audit_log_is_parsed_again(cut_off: CutOff, reason: str) -> None:
    detail = cut_off_text.detail(cut_off, reason)
    assert cut_off_text.read(cut_off_text.action(cut_off), cut_off.name, detail) == cut_off


@pytest.mark.parametrize(
    "detail", ["", "until", "until 2027-13-15T08:00:00.007Z", "until 2027-01-15T08:00:00Z"]
)
def test_a_row_that_no_server_wrote_is_refused(detail: str) -> None:
    with pytest.raises(ValueError, match=r"time|month"):
        cut_off_text.read("org.cut_off", "acme", detail)
    assert cut_off_text.read("token.revoked", "acme", detail) is None


@pytest.mark.parametrize(
    ("scope", "name", "until_ms"),
    [
        (Scope.ORG, "", 1),
        (Scope.ORG, "acme", None),
        (Scope.SUBJECT, "user:ann", -1),
        (Scope.SUBJECT, "user:ann", 253_402_300_800_000),
        (Scope.KEY, "k1", 1),
        (Scope.KEY, "k1", -1),
    ],
)
def test_values_that_no_store_holds_are_no_cut_off(scope: Scope, name: str, until_ms: int | None) -> None:
    with pytest.raises(ValueError, match="a cut-off has"):
        CutOff(scope, name, until_ms)
