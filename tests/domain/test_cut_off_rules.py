"""What a cut-off revokes, until when it reaches, and what it forbids."""

from __future__ import annotations

from dataclasses import replace

import pytest

from almond_server.domain import cut_off_rules
from almond_server.domain.cut_off_rules import as_read, by_target, cut_off_of, falls_under
from almond_server.domain.records import Record
from almond_server.domain.revocations import CutOff, CutOffTarget, RecordedCutOff, Scope
from almond_server.domain.selections import MintedBy, OfApp, OfOrg, OfSubject, Selection
from almond_server.domain.stores import Actor
from almond_server.errors import IssuedTooEarlyError
from support.samples import OPERATOR, branch, record

MS = 1000
ACME = CutOff(Scope.ORG, "acme", 5 * MS)
OTHER = CutOff(Scope.ORG, "other", 5 * MS)
ALMOND = CutOff(Scope.ORG, "almond", 5 * MS)
ANN = CutOff(Scope.SUBJECT, "ann", 5 * MS)
KEY = CutOff(Scope.KEY, "k1", None)
MINTED = record(key_id="k1", subject="ann", org="acme", created_at_ms=5 * MS)
ACTOR = Actor("m", "m", "k1", (), "ann", "acme", 5 * MS, ("acme", "other"))


def made(cut_off: CutOff, at: int, revision: int = 1, reason: str = "") -> RecordedCutOff:
    return RecordedCutOff(cut_off, revision, at, "by", reason or str(at))


def first(of: Record, *recorded: RecordedCutOff, minted: Record | None = None) -> str:
    return as_read(of, minted or of, by_target(recorded)).revoke_reason


def targets(*cut_offs: CutOff) -> frozenset[CutOffTarget]:
    return frozenset(each.target for each in cut_offs)


def test_a_record_falls_under_cut_offs_of_its_key_its_subject_and_its_home_org() -> None:
    assert cut_off_rules.targets_of_record(MINTED) == targets(KEY, ANN, ACME)
    assert cut_off_rules.targets_of_record(replace(MINTED, subject="", org="")) == targets(KEY)


def test_a_record_of_the_reserved_org_falls_under_no_cut_off_of_an_org() -> None:
    assert cut_off_rules.targets_of_record(replace(MINTED, org="almond")) == targets(KEY, ANN)


@pytest.mark.parametrize(("issued_at_ms", "expected"), [(4999, True), (5000, True), (5001, False)])
def test_what_was_issued_at_the_time_of_a_cut_off_falls_under_it(issued_at_ms: int, expected: bool) -> None:
    assert falls_under(ACME, targets(ACME), issued_at_ms) is expected
    assert falls_under(KEY, targets(KEY), issued_at_ms)


def test_a_cut_off_of_the_same_name_in_another_scope_revokes_nothing() -> None:
    assert not falls_under(replace(ACME, scope=Scope.SUBJECT), targets(ACME), 0)


def test_an_actor_is_stopped_by_cut_offs_of_its_token_and_of_the_orgs_on_which_it_acts() -> None:
    assert cut_off_rules.targets_of_actor(ACTOR) == targets(KEY, ANN, ACME, OTHER)
    for each in (KEY, ANN, ACME, OTHER):
        assert cut_off_rules.is_stopped(ACTOR, [each])
    assert not cut_off_rules.is_stopped(ACTOR, [CutOff(Scope.ORG, "elsewhere", 9 * MS)])
    assert not cut_off_rules.is_stopped(replace(ACTOR, issued_at_ms=5 * MS + 1), [ANN, ACME, OTHER])


def test_no_cut_off_of_an_org_stops_an_actor_of_the_reserved_org() -> None:
    of_the_service = replace(ACTOR, home_org="almond")
    assert not cut_off_rules.is_stopped(of_the_service, [ACME, OTHER, ALMOND])
    assert cut_off_rules.is_stopped(of_the_service, [ANN])


def test_no_cut_off_stops_an_operator_who_has_no_token() -> None:
    named = replace(OPERATOR, key_id="k1", subject="ann", home_org="acme", orgs=("acme",))
    assert not cut_off_rules.is_stopped(named, [KEY, ANN, ACME])


@pytest.mark.parametrize("cut_off", [ANN, ACME, OTHER])
def test_what_would_fall_under_a_cut_off_from_the_start_is_issued_too_early(cut_off: CutOff) -> None:
    with pytest.raises(IssuedTooEarlyError) as refused:
        cut_off_rules.check_issue_time(MINTED, ACTOR, [cut_off])
    assert refused.value.until_ms == 5 * MS
    cut_off_rules.check_issue_time(replace(MINTED, created_at_ms=5 * MS + 1), ACTOR, [cut_off])


def test_the_time_to_wait_for_is_that_of_the_latest_cut_off_that_covers_it() -> None:
    beyond = CutOff(Scope.SUBJECT, "bob", 99 * MS)
    with pytest.raises(IssuedTooEarlyError) as refused:
        cut_off_rules.check_issue_time(MINTED, ACTOR, [ACME, replace(ANN, until_ms=7 * MS), beyond])
    assert refused.value.until_ms == 7 * MS


def test_no_later_time_helps_against_a_key_and_no_cut_off_of_an_org_forbids_the_reserved_orgs() -> None:
    cut_off_rules.check_issue_time(MINTED, ACTOR, [KEY])
    cut_off_rules.check_issue_time(replace(MINTED, org="almond", subject=""), ACTOR, [ACME, OTHER, ALMOND])


def test_a_record_is_read_as_revoked_by_what_came_first() -> None:
    assert first(MINTED) == ""
    assert first(MINTED, made(ANN, 8), made(ACME, 7), made(KEY, 9)) == "7"
    own = replace(MINTED, revoked_at=7, revoke_reason="own")
    assert first(own, made(ACME, 8)) == "own"
    assert first(own, made(ACME, 7)) == "7"  # of the same second it is the cut-off
    assert first(own, made(ACME, 6)) == "6"


def test_of_cut_offs_of_one_second_the_lower_revision_came_first() -> None:
    assert first(MINTED, made(ACME, 7, 3, "third"), made(ANN, 7, 2, "second")) == "second"


def test_a_cut_off_that_does_not_cover_a_record_revokes_nothing_of_it() -> None:
    lower = made(replace(ACME, until_ms=4 * MS), 1)
    assert first(MINTED, lower, made(OTHER, 1)) == ""
    assert first(MINTED, lower, made(ACME, 2, 2)) == "2"


def test_a_derived_record_falls_under_what_its_minted_token_falls_under() -> None:
    derived = replace(MINTED, lineage=(branch(1),), org="", subject="", created_at_ms=99 * MS)
    assert first(derived, made(ACME, 7), minted=MINTED) == "7"
    assert first(derived, made(ACME, 7), minted=replace(MINTED, created_at_ms=6 * MS)) == ""


@pytest.mark.parametrize(
    ("before_ms", "newest_issue_ms", "until_ms"),
    [
        (None, 0, 5 * MS),  # until now
        (None, 5 * MS + 1, 5 * MS + 1),  # or the newest on record, by a server with a fast clock
        (4 * MS, 9 * MS, 4 * MS - 1),  # but below the bound
        (6 * MS, 0, 5 * MS),
    ],
)
def test_until_when_the_cut_off_of_a_selection_reaches(
    before_ms: int | None, newest_issue_ms: int, until_ms: int
) -> None:
    for of, target in ((OfOrg("acme"), ACME), (OfSubject("ann"), ANN)):
        selection = Selection(of, before_ms)
        assert cut_off_of(selection, 5, newest_issue_ms) == replace(target, until_ms=until_ms)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(OfOrg("acme"), 0),
        Selection(OfOrg("almond")),
        Selection(OfApp("acme", "web")),
        Selection(MintedBy("t")),
    ],
)
def test_some_selections_have_no_cut_off(selection: Selection) -> None:
    assert cut_off_of(selection, 5, 0) is None


def test_tokens_of_several_orgs_count_for_each_org() -> None:
    assert set(cut_off_rules.home_orgs_counted("acme")) == {"acme", ""}
