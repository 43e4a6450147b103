"""Action masks: every pair of them, and every spelling."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest

from almond_core.errors import CaveatError, FieldError
from almond_core.masks import ALL, LETTERS, covers, parse_actions, parse_mask, spell

SETS = ["".join(letters) for size in range(6) for letters in combinations(LETTERS, size)]


@pytest.mark.parametrize("held", SETS)
def test_a_mask_covers_exactly_its_subsets(held: str) -> None:
    for wanted in SETS[1:]:
        assert covers(parse_mask(held), parse_actions(wanted)) == (set(wanted) <= set(held))


@pytest.mark.parametrize("text", SETS)
def test_a_mask_is_parsed_from_its_spelling(text: str) -> None:
    assert spell(parse_mask(text)) == ("*" if text == LETTERS else text)


def test_star_is_all() -> None:
    assert parse_mask("*") == parse_actions("*") == ALL == parse_mask(LETTERS)


@pytest.mark.parametrize("text", ["wr", "rr", "x", "rx", "R", " r", "**", "r*", None, 1, ["r"]])
def test_a_mask_of_another_form_is_refused(text: object) -> None:
    with pytest.raises(CaveatError):
        parse_mask(text)


def test_a_request_may_name_its_actions_in_any_order() -> None:
    for order in permutations("rwd"):
        assert parse_actions("".join(order)) == parse_mask("rwd")


@pytest.mark.parametrize("text", ["", "x", "rx", "rr", " r", "r*"])
def test_a_request_without_meaning_is_refused(text: str) -> None:
    with pytest.raises(FieldError):
        parse_actions(text)
