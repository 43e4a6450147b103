"""How long a token was issued for, and when it is time to replace it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_core import caveats, wire
from almond_core.caveats import Action, Caveat, Label, Org, Valid
from almond_core.lifetimes import Lifetime, lifetime_of
from almond_core.masks import ALL
from almond_core.model import Identity, token_id_at

DAY = 86_400
ISSUED = 1_700_000_000
IDENTITY = Identity("k1", token_id_at(ISSUED * 1000, bytes(10)), "org", "acme", "")
LABEL = Label.new(bytes(16), "ci")


def end_of(*given: Caveat) -> int | None:
    added = [wire.first_party(caveats.encode(each)) for each in (Org("acme", ALL), *given)]
    lifetime = lifetime_of(IDENTITY, added)
    assert lifetime is None or lifetime.issued == ISSUED
    return None if lifetime is None else lifetime.end


def until(days: int) -> Valid:
    return Valid(None, ISSUED + days * DAY)


@pytest.mark.parametrize(
    ("given", "days"),
    [
        ((until(90),), 90),
        ((until(90), until(40)), 40),
        ((until(40), until(90)), 40),
        ((until(90), Action(ALL), LABEL), 90),
        ((until(90), Action(ALL), until(1), LABEL), 90),  # narrowed to a day
        ((until(90), until(1), LABEL, until(2), LABEL), 90),  # and narrowed again
        ((Valid(ISSUED, None), until(90)), 90),
    ],
    ids=str,
)
def test_a_lifetime_ends_where_mint_wrote_it_and_not_where_an_attenuation_did(
    given: tuple[Caveat, ...], days: int
) -> None:
    assert end_of(*given) == ISSUED + days * DAY


@pytest.mark.parametrize("given", [(), (Valid(ISSUED, None),), (until(1), LABEL)], ids=str)
def test_a_token_that_mint_gave_no_end_has_no_lifetime(given: tuple[Caveat, ...]) -> None:
    assert end_of(*given) is None


def test_caveats_without_a_known_meaning_end_nothing() -> None:
    unknown = wire.first_party(b'["tomorrow",1]')
    third_party = wire.WireCaveat(b"x", None, b"there", b"v")
    known = wire.first_party(caveats.encode(until(90)))
    lifetime = lifetime_of(IDENTITY, [unknown, third_party, known])
    assert lifetime == Lifetime(ISSUED, ISSUED + 90 * DAY)


@pytest.mark.parametrize(
    ("days", "left", "is_ending"),
    [
        (90, 14 * DAY, False),
        (90, 14 * DAY - 1, True),
        (90, 1, True),
        (90, 0, False),
        (90, -1, False),
        (31, DAY, True),
        (30, DAY, False),
        (1, 60, False),
    ],
)
def test_a_token_of_over_30_days_is_ending_in_its_last_14(days: int, left: int, is_ending: bool) -> None:
    lifetime = Lifetime(ISSUED, ISSUED + days * DAY)
    assert lifetime.is_ending(lifetime.end - left) == is_ending


@given(st.integers(1, 100 * DAY), st.integers(-100 * DAY, 200 * DAY))
def test_no_short_lived_token_and_no_expired_one_is_ending(life: int, age: int) -> None:
    ending = Lifetime(ISSUED, ISSUED + life).is_ending(ISSUED + age)
    assert not ending or (life > 30 * DAY and life - 14 * DAY < age < life)
