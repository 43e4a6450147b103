"""The review of a token's caveats is true, for random caveats and for those of common tokens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_client.review import Review, review
from almond_core import caveats, wire
from almond_core.caveats import Caveat
from almond_core.kinds import Deploy, Kind, OrgWide, Readonly, Service, Ssh, VerifyRole
from almond_core.model import Access, Circumstances
from core.strategies import NOW, accesses, any_caveats, circumstances, minted, org_caveats, permits

more = st.lists(any_caveats, max_size=5)


def reviewed(*given: Caveat, now: int = NOW) -> Review:
    return review(wire.decode(minted(*given)).unverified_caveats, now)


def of_kind(kind: Kind, org: str, *added: list[Any]) -> Review:
    return reviewed(*kind.caveats(org), *map(caveats.parse, added))


@given(org_caveats, more, accesses(), circumstances)
def test_caveats_that_some_request_meets_are_never_called_contradictory(
    org: Caveat, written: list[Caveat], access: Access, when: Circumstances
) -> None:
    found = reviewed(org, *written, now=when.now)
    if permits(minted(org, *written), access, Circumstances(when.now, 0, when.caller_subject)):
        assert found.contradictions == ()
        assert found.permissions != ()


@given(org_caveats, more, accesses(), circumstances)
def test_without_those_that_add_nothing_the_same_is_permitted(
    org: Caveat, written: list[Caveat], access: Access, when: Circumstances
) -> None:
    when = Circumstances(when.now, 0, when.caller_subject)
    found = reviewed(org, *written, now=when.now)
    redundant = found.redundant
    kept = [each for number, each in enumerate((org, *written), start=1) if number not in redundant]
    assert 1 not in redundant
    assert permits(minted(*kept), access, when) == permits(minted(org, *written), access, when)


@given(org_caveats, more, accesses())
def test_a_review_without_permissions_means_that_nothing_is_permitted(
    org: Caveat, written: list[Caveat], access: Access
) -> None:
    found = reviewed(org, *written)
    if found.permissions == ():
        for caller_subject in ("", "almond", "service:gate", "service:api"):
            assert not permits(minted(org, *written), access, Circumstances(NOW, 0, caller_subject))


def test_any_cluster_is_a_target_of_permissions() -> None:
    written: list[Any] = [["org", "acme", "r"], ["clusters", {"*": "r"}]]
    assert lines(reviewed(*map(caveats.parse, written))) == ["any cluster of feature litefs-cloud: read"]


def lines(found: Review) -> list[str]:
    return [str(each) for each in found.permissions or ()]


def test_a_deploy_token_in_words() -> None:
    assert lines(of_kind(Deploy("web"), "acme")) == [
        "the org itself: read",
        "app web: all actions",
        "app feature images of app web: all actions",
        "any other app feature of app web: no actions",
        "feature builder: all actions",
        "feature wg: all actions",
    ]


def test_an_ssh_token_in_words() -> None:
    assert lines(of_kind(Ssh("web"), "acme")) == [
        "mutation issue_certificate on app web: create",
        "mutation add_wireguard_peer on feature wg: create",
    ]


@pytest.mark.parametrize(
    ("kind", "org", "expected"),
    [
        (OrgWide(), "acme", "it may do everything in org acme"),
        (Service("s", VerifyRole()), "*", "it is valid for any org"),
        (Readonly(), "acme", "it never expires"),
    ],
)
def test_a_wide_scope_is_worth_a_warning(kind: Kind, org: str, expected: str) -> None:
    assert expected in of_kind(kind, org).warnings


def test_a_narrow_scope_with_an_end_is_worth_none() -> None:
    assert of_kind(Deploy("web"), "acme", ["valid", None, NOW + 60]).warnings == ()


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ((["apps", {"api": "*"}],), "2 and 4 can never be met together"),
        ((["action", "r"], ["action", "w"]), "4 and 5 can never be met together"),
        ((["storage_objects", {"/a": "*"}],), "2 and 4 can never be met together"),
        ((["apps", {}],), "4 permits nothing at all"),
        ((["valid", None, NOW], ["valid", NOW + 60, None]), "4 and 5 can never be met together"),
        (
            (["attribute", "ip", ["10.0.0.1"]], ["ip", ["192.168.0.0/16"]]),
            "4 and 5 can never be met together",
        ),
        ((["attribute", "ip", ["banana"]],), "4 permits nothing at all"),
        ((["ip", ["10.0.0.0/8"]], ["ip", ["192.168.0.0/16"]]), "4 and 5 can never be met together"),
        ((["attribute", "m", ["a"]], ["attribute", "m", ["b"]]), "4 and 5 can never be met together"),
        ((["audience", ["service:a"]], ["audience", ["service:b"]]), "4 and 5 can never be met together"),
        ((["source", {"app": "a"}], ["source", {"app": "b"}]), "4 and 5 can never be met together"),
        ((["attribute", "m", []],), "4 permits nothing at all"),
        ((["audience", []],), "4 permits nothing at all"),
        ((["org", "other", "*"],), "1 and 4 can never be met together"),
        ((["features", {"wg": "*"}], ["apps", {"web": "*"}]), "4 and 5 can never be met together"),
    ],
    ids=str,
)
def test_caveats_that_can_never_be_met_are_reported(added: tuple[list[Any], ...], expected: str) -> None:
    found = of_kind(Deploy("web"), "acme", *added)
    assert expected in [each.sentence(str) for each in found.contradictions]
    assert found.permissions == ()


@pytest.mark.parametrize(
    ("added", "number"),
    [
        ((["apps", {"web": "*"}], ["apps", {"web": "*", "api": "r"}]), 5),
        ((["valid", None, NOW + 10], ["valid", None, NOW + 20]), 5),
        ((["ip", ["10.1.0.0/16"]], ["ip", ["10.0.0.0/8"]]), 5),
        ((["action", "*"],), 4),
    ],
    ids=str,
)
def test_caveats_that_add_nothing_are_reported(added: tuple[list[Any], ...], number: int) -> None:
    assert number in of_kind(Deploy("web"), "acme", *added).redundant


def test_different_conditions_are_no_contradiction() -> None:
    added = (
        ["attribute", "m", ["a"]],
        ["attribute", "n", ["b"]],
        ["ip", ["10.0.0.0/8"]],
        ["audience", ["service:a"]],
        ["source", {"app": "a"}],
        ["source", {"org": "acme"}],
        ["valid", NOW - 5, NOW + 5],
    )
    found = of_kind(Deploy("web"), "acme", *added)
    assert found.contradictions == ()
    assert len(found.conditions) == len(added)


def test_of_several_ends_the_first_counts() -> None:
    ends = (
        ["valid", None, NOW + 20],
        ["valid", None, NOW + 10],
        ["valid", NOW - 9, None],
        ["valid", NOW - 5, None],
    )
    (only,) = of_kind(Deploy("web"), "acme", *ends).conditions
    assert only == "from 2027-01-15 07:59:55 UTC (less the service's leeway) until 2027-01-15 08:00:10 UTC"


def test_more_permissions_than_people_can_read_are_not_computed() -> None:
    apps = {f"app{number}": "*" for number in range(30)}
    machines = {f"m{number}": "*" for number in range(30)}
    found = of_kind(OrgWide(), "acme", ["apps", apps], ["machines", machines], ["mutations", ["a", "b"]])
    assert found.permissions is None


def test_a_permission_reads_as_a_sentence() -> None:
    (only,) = of_kind(OrgWide(), "acme", ["storage_objects", {"/a": "rw"}]).permissions or ()
    assert str(only) == "storage object /a and all below: read, write"
