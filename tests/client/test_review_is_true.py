"""Every statement of a review is a fact: the core decides about accesses as the words say.

The tokens' ids, words, paths and values are the words that the review itself uses.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from almond_client.review import Review, org_text, review
from almond_core import caveats, header, wire
from almond_core.caveats import PERMITS
from almond_core.decision import decide
from almond_core.errors import Reason, TokenError
from almond_core.masks import parse_actions
from almond_core.model import Access, Circumstances
from client import reader, words
from core.strategies import NOW, Keys, NothingRevoked, genuine

Bodies = list[list[Any]]

LATER = Circumstances(NOW + 1)
JUST_BEFORE = Circumstances(NOW - 1)
CHOICE: list[Any] = ["any_of", [[["action", "r"]], [["action", "w"]]]]
READ = parse_actions("r")
READ_BELOW = Access(org="acme", actions=READ, storage_object="b/p/x")
READ_AND_WRITE = Access(org="acme", actions=parse_actions("rw"), app="web")
MUTATE = Access(org="acme", actions=READ, app="web", mutation="rename")
RUN = Access(org="acme", actions=READ, app="web", machine="m", command=("ls",))
ON_MACHINE = Access(org="acme", actions=parse_actions("w"), app="web", machine="m")
FROM_ADDRESS = Access(org="acme", actions=READ, attributes={"ip": "10.0.0.1"})


def reviewed(text: str) -> Review:
    return review(wire.decode(text).unverified_caveats, NOW)


def decided(text: str, access: Access, when: Circumstances) -> bool:
    return bool(decide(header.present(text), access, when, Keys(), NothingRevoked()))


def drawn(bodies: Bodies) -> str:
    try:
        return words.token_of(bodies)
    except TokenError:
        # Too large.
        assume(condition=False)
        raise


def conditions_of(bodies: Bodies) -> str:
    kinds = {"valid", "source", "attribute", "audience", "ip"}
    return drawn([["org", "*", "*"], *(body for body in bodies if body[0] in kinds)])


def lines_about(found: Review, org: str) -> list[reader.Line]:
    headings = {org_text(org), "any org"}
    return [reader.read(str(each)) for each in found.permissions or () if org_text(each.org) in headings]


@settings(max_examples=200)
@given(words.token_bodies, st.lists(words.accesses(), min_size=1, max_size=8), words.circumstances)
@example([["org", "acme", "*"], ["storage_objects", {"b": "*", "b/p": ""}]], [READ_BELOW], LATER)
@example([["org", "acme", "*"], ["commands", [["exact", "another-command"]]]], [RUN], LATER)
@example([["org", "acme", "*"], ["commands", [["exact", "x0"]]]], [RUN], LATER)
@example([["org", "acme", "*"], ["storage_objects", {"x0": "r", "another-object": "r"}]], [READ_BELOW], LATER)
@example([["org", "acme", "*"], ["if_present", [["mutations", []]], "*"]], [MUTATE], LATER)
@example([["org", "acme", "*"], ["any_of", [[["action", "r"]], [["action", "w"]]]]], [READ_AND_WRITE], LATER)
@example([["org", "acme", "*"], ["novel"]], [READ_AND_WRITE], LATER)
@example([["action", "*"]], [READ_AND_WRITE], LATER)
def test_what_is_listed_is_permitted_and_nothing_else_is(
    bodies: Bodies, asked: list[Access], when: Circumstances
) -> None:
    text = drawn(bodies)
    found = reviewed(text)
    assume(found.permissions is not None)
    for access in asked:
        are_met = decided(conditions_of(bodies), access, when)
        said = reader.permits(lines_about(found, access.org), access)
        assert decided(text, access, when) == (said and are_met), (
            access,
            list(map(str, found.permissions or ())),
        )


@settings(max_examples=200)
@given(words.token_bodies, st.lists(words.accesses(), min_size=1, max_size=8), words.circumstances)
@example([["org", "acme", "*"], ["valid", None, NOW], ["valid", NOW, None]], [READ_AND_WRITE], JUST_BEFORE)
@example([["org", "acme", "*"], ["attribute", "ip", ["10.0.0.1"]]], [FROM_ADDRESS], LATER)
def test_what_can_never_be_met_is_never_met(bodies: Bodies, asked: list[Access], when: Circumstances) -> None:
    text = drawn(bodies)
    for each in reviewed(text).contradictions:
        some = [caveats.parse(bodies[number - 1]) for number in each.numbers if "never" in each.why]
        for access in asked:
            assert not decided(text, access, when), each
            assert not some or any(one.check(access, when) is not PERMITS for one in some), each


@settings(max_examples=200)
@given(words.token_bodies, st.lists(words.accesses(), min_size=1, max_size=8), words.circumstances)
@example([["org", "acme", "*"], ["action", "rw"], CHOICE], [READ_AND_WRITE], LATER)
@example(
    [["org", "acme", "*"], ["ip", ["10.0.0.0/30"]], ["ip", ["10.0.0.0", "10.0.0.3"]]], [FROM_ADDRESS], LATER
)
def test_without_all_that_adds_nothing_the_same_is_permitted(
    bodies: Bodies, asked: list[Access], when: Circumstances
) -> None:
    text = drawn(bodies)
    redundant = reviewed(text).redundant
    kept = drawn([body for number, body in enumerate(bodies, start=1) if number not in redundant])
    for access in asked:
        assert decided(kept, access, when) == decided(text, access, when), (redundant, access)


@settings(max_examples=200)
@given(words.token_bodies, words.accesses())
@example([["org", "acme", "*"], ["valid", None, 0]], READ_AND_WRITE)
@example([["org", "acme", "*"], ["if_present", [["machines", {"m": "r"}]], "*"]], ON_MACHINE)
def test_what_is_worth_knowing_is_true(bodies: Bodies, access: Access) -> None:
    text = drawn(bodies)
    found = reviewed(text)
    for warning in found.warnings:
        if warning == "it never expires":
            assert not is_expired(text, access, words.LAST)
        elif warning.startswith("it does not expire for another"):
            years = int(re.sub(" a ", " 1 ", warning).split()[-2])
            assert not is_expired(text, access, NOW + years * 366 * 86_400 - 1)
        elif warning.startswith("it may do everything in "):
            org = warning.removeprefix("it may do everything in ").partition(",")[0]
            conditions = conditions_of(bodies)
            if org in {org_text(access.org), "any org"}:
                assert decided(text, access, LATER) == decided(conditions, access, LATER), warning
        else:
            assert warning == "it is valid for any org"
            assert all("*" in str(body) for body in bodies if body[0] in {"org", "orgs"})


def is_expired(text: str, access: Access, now: int) -> bool:
    verdicts = caveats.clear(genuine(text), access, Circumstances(now)).verdicts
    return any(isinstance(each, caveats.Denies) and each.reason is Reason.EXPIRED for each in verdicts)


@pytest.mark.parametrize(
    ("body", "contradicted"),
    [
        (["commands", [["exact", *["a"] * 64]]], ()),
        (["commands", [["exact", *["a"] * 65]]], (2,)),
        (["commands", [["prefix", *["a"] * 64]]], ()),
        (["apps", {f"x{number}": "*" for number in range(130)}], ()),
        (["storage_objects", {"b/" * 1000 + "b": "*"}], ()),
    ],
    ids=["64 words", "65 words, which no request has", "at least 64 words", "130 apps", "a long path"],
)
def test_a_token_at_the_limits_of_a_request_is_reviewed(
    body: list[Any], contradicted: tuple[int, ...]
) -> None:
    found = reviewed(words.token_of([["org", "acme", "*"], body]))
    assert tuple(number for each in found.contradictions for number in each.numbers) == contradicted
