"""What a successor permits: exactly what the token permitted that it succeeds, until its own end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_core import minting, wire
from almond_core.caveats import Action, Audience, Caveat, Label, Org, Orgs, Valid, encode
from almond_core.errors import CaveatError, TokenError
from almond_core.kinds import Deploy
from almond_core.masks import ALL, parse_mask
from almond_core.model import ANY, Access, Circumstances
from almond_core.succession import kept_of, succeed
from core.strategies import (
    IDENTITY,
    NOW,
    PRK,
    accesses,
    any_caveats,
    circumstances,
    genuine,
    minted,
    org_caveats,
    permits,
)

READ = parse_mask("r")
END = NOW + 100
few = st.lists(any_caveats.filter(lambda each: each.NAME != "valid"), max_size=3)
any_end = st.none() | st.integers(NOW - 30, NOW + 30)


def as_written(*caveats: Caveat) -> list[bytes]:
    return list(map(encode, caveats))


def permitted(caveats: tuple[bytes, ...], access: Access, when: Circumstances) -> bool:
    return permits(minting.mint(PRK, IDENTITY, caveats).text, access, when)


@given(org_caveats, few, org_caveats, few, st.booleans(), any_end, accesses(), circumstances)
def test_a_successor_to_which_nothing_is_added_permits_what_the_old_token_did(
    org: Caveat,
    written: list[Caveat],
    minter_org: Caveat,
    of_the_minter: list[Caveat],
    has_all: bool,
    end: int | None,
    access: Access,
    when: Circumstances,
) -> None:
    old = [org, *written]
    caveats = [org, *written] if has_all else []
    minter = genuine(minted(minter_org, *caveats, *of_the_minter))
    made = succeed(minter, as_written(*old, Valid(None, NOW + 9)), end, NOW)
    is_over = end is not None and when.now >= end
    before = permits(minted(*old), access, when) and not is_over
    now = permitted(made.caveats, access, when)
    assert before or not now
    if not made.added:
        assert now == before


@given(org_caveats, few, org_caveats, few, st.integers(NOW + 1, NOW + 30), accesses(), circumstances)
def test_a_successor_never_permits_more_than_its_minter(
    org: Caveat,
    written: list[Caveat],
    minter_org: Caveat,
    of_the_minter: list[Caveat],
    end: int,
    access: Access,
    when: Circumstances,
) -> None:
    text = minted(minter_org, *of_the_minter)
    made = succeed(genuine(text), as_written(org, *written), end, NOW)
    assert permits(text, access, when) or not permitted(made.caveats, access, when)


@given(org_caveats, few)
def test_what_a_token_minted_itself_is_succeeded_without_a_difference(
    org: Caveat, written: list[Caveat]
) -> None:
    minter = genuine(minted(org))
    old = minting.inherit(minter, [*written, Valid(None, NOW + 9)])
    assert not succeed(minter, old, END, NOW).added


OLD = as_written(Org(ANY, ALL), *Deploy("web").caveats("acme"), Valid(None, NOW + 9))


@pytest.mark.parametrize(
    "harmless",
    [
        [],
        [Org("acme", ALL)],
        [Orgs({"acme": ALL, "other": ALL})],
        [Valid(None, END)],
        [Valid(NOW, END + 1)],
        [Label("A" * 22, "ci")],
    ],
)
def test_what_restricts_nothing_is_no_difference(harmless: list[Caveat]) -> None:
    made = succeed(genuine(minted(Org(ANY, ALL), *harmless)), OLD, END, NOW)
    assert made.added == ()
    assert minting.expires_at(made.caveats) == END


@pytest.mark.parametrize(
    "restriction",
    [
        Org("acme", READ),
        Orgs({"other": ALL}),
        Valid(None, END - 1),
        Valid(NOW + 1, None),
        Action(READ),
        Audience(("almond",)),
    ],
)
def test_a_restriction_of_the_minter_is_a_difference(restriction: Caveat) -> None:
    made = succeed(genuine(minted(Org(ANY, ALL), restriction)), OLD, END, NOW)
    assert made.added == (restriction,)


def test_a_minter_that_ends_is_a_difference_to_a_token_that_does_not() -> None:
    minter = genuine(minted(Org(ANY, ALL), Valid(None, END)))
    assert succeed(minter, OLD[:-1], None, NOW).added == (Valid(None, END),)
    assert succeed(genuine(minted(Org(ANY, ALL))), OLD[:-1], None, NOW).added == ()


def test_the_ends_of_the_old_token_are_not_kept_and_all_else_is_byte_for_byte() -> None:
    made = succeed(genuine(minted(Org(ANY, ALL))), [*OLD, *as_written(Valid(None, NOW + 5))], END, NOW)
    assert made.caveats == (*OLD[1:-1], encode(Valid(None, END)))


@pytest.mark.parametrize("raw", [b'["new",1]', b"[", encode(Valid(NOW, NOW + 9)), encode(Valid(NOW, None))])
def test_a_token_with_an_unknown_caveat_or_a_beginning_has_no_successor(raw: bytes) -> None:
    with pytest.raises(CaveatError):
        kept_of([*OLD, raw])


def test_a_minter_with_an_unknown_or_a_third_party_caveat_mints_no_successor() -> None:
    minter = genuine(minted(Org(ANY, ALL)))
    unknown = replace(minter, caveats=(*minter.caveats, wire.first_party(b'["new",1]')))
    with pytest.raises(CaveatError):
        succeed(unknown, OLD, END, NOW)
    third_party = replace(minter.caveats[0], body=None)
    with pytest.raises(TokenError):
        succeed(replace(minter, caveats=(*minter.caveats, third_party)), OLD, END, NOW)
