"""The laws of tokens: what holds for every token, caveat and access."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st
from pymacaroons import Macaroon, Verifier
from pymacaroons.serializers.binary_serializer import BinarySerializer

from almond_core import caveats, minting, wire
from almond_core.caveats import Caveat, Pattern, Valid
from almond_core.decision import decide
from almond_core.errors import Reason, TokenError
from almond_core.header import present
from almond_core.kinds import (
    Custom,
    Deploy,
    Kind,
    LitefsCloud,
    MachineExec,
    MintRole,
    OrgWide,
    Personal,
    Readonly,
    RevokeRole,
    Service,
    Ssh,
    VerifyRole,
    Wireguard,
)
from almond_core.model import Access, Circumstances
from core import strategies
from core.strategies import accesses, any_caveats, circumstances, genuine, minted, org_caveats, permits

more = st.lists(any_caveats, max_size=4)


@given(org_caveats, more, st.lists(any_caveats, min_size=1, max_size=3), accesses(), circumstances)
def test_attenuation_never_widens(
    org: Caveat, written: list[Caveat], added: list[Caveat], access: Access, when: Circumstances
) -> None:
    parent = minted(org, *written)
    child = minting.attenuate(parent, added).text
    assert permits(parent, access, when) or not permits(child, access, when)


@given(org_caveats, more, st.randoms(use_true_random=False), accesses(), circumstances)
def test_clearing_does_not_depend_on_the_order_of_caveats(
    org: Caveat, written: list[Caveat], rng: random.Random, access: Access, when: Circumstances
) -> None:
    shuffled = list(written)
    rng.shuffle(shuffled)
    assert permits(minted(org, *written), access, when) == permits(minted(org, *shuffled), access, when)


@given(org_caveats, more, accesses(), circumstances)
def test_a_token_permits_what_every_caveat_permits_and_nothing_else(
    org: Caveat, written: list[Caveat], access: Access, when: Circumstances
) -> None:
    each = [caveat.check(access, when) is caveats.PERMITS for caveat in (org, *written)]
    assert permits(minted(org, *written), access, when) == all(each)


@given(any_caveats, more, accesses(), circumstances)
def test_a_token_that_does_not_begin_with_an_org_permits_nothing(
    first: Caveat, written: list[Caveat], access: Access, when: Circumstances
) -> None:
    assume(first.NAME not in {"org", "orgs"})
    assert not permits(minted(first, *written), access, when)


@given(org_caveats, more, st.data())
def test_no_changed_dropped_or_inserted_byte_ever_verifies(
    org: Caveat, written: list[Caveat], data: st.DataObject
) -> None:
    binary = wire.binary_of(minted(org, *written))
    at = data.draw(st.integers(0, len(binary) - 1))
    byte = data.draw(st.binary(min_size=1, max_size=1))
    changed = data.draw(
        st.sampled_from(
            (
                binary[:at] + byte + binary[at + 1 :],
                binary[:at] + binary[at + 1 :],
                binary[:at] + byte + binary[at:],
            )
        )
    )
    assume(changed != binary)
    _must_not_verify(wire.encode(changed))


@given(org_caveats, more, st.data())
def test_no_changed_character_ever_verifies(org: Caveat, written: list[Caveat], data: st.DataObject) -> None:
    text = minted(org, *written)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters())
    assume(other != text[at])
    _must_not_verify(text[:at] + other + text[at + 1 :])


@given(org_caveats, st.lists(any_caveats, min_size=2, max_size=5, unique_by=caveats.encode), st.data())
def test_no_removed_or_reordered_caveat_ever_verifies(
    org: Caveat, written: list[Caveat], data: st.DataObject
) -> None:
    macaroon = BinarySerializer().deserialize_raw(wire.binary_of(minted(org, *written)))
    order = data.draw(st.lists(st.integers(0, len(written)), unique=True))
    rearranged = [macaroon.caveats[index] for index in order]
    assume([c.caveat_id for c in rearranged] != [c.caveat_id for c in macaroon.caveats])
    macaroon.caveats = rearranged
    _must_not_verify(wire.encode(BinarySerializer().serialize_raw(macaroon)))


def _must_not_verify(text: str) -> None:
    try:
        genuine(text)
    except TokenError:
        return
    raise AssertionError("it verified")


@given(org_caveats, more)
def test_decode_then_encode_is_the_identity(org: Caveat, written: list[Caveat]) -> None:
    text = minted(org, *written)
    assert wire.encode(wire.binary_of(text)) == text
    token = wire.decode(text)
    assert [caveat.raw for caveat in token.unverified_caveats] == [caveats.encode(c) for c in (org, *written)]
    assert [caveats.parse(c.body) for c in token.unverified_caveats if c.body] == [org, *written]


@given(st.text() | st.text("alm1_-AZaz09", min_size=5).map(lambda text: "alm1_" + text))
def test_any_text_decodes_or_raises_a_token_error(text: str) -> None:
    try:
        wire.decode(text)
    except TokenError as error:
        if len(text) > 8 and text in error.sentence:
            raise AssertionError("it echoes the text") from error


@given(st.binary(max_size=300))
def test_any_bytes_under_a_right_checksum_decode_or_raise_a_token_error(data: bytes) -> None:
    try:
        wire.decode(wire.encode(b"\x02" + data))
    except TokenError as error:
        if error.reason not in {Reason.MALFORMED, Reason.TOO_LARGE}:
            raise


@given(org_caveats, more, more)
def test_the_chain_is_the_one_that_pymacaroons_computes(
    org: Caveat, written: list[Caveat], added: list[Caveat]
) -> None:
    from almond_core import crypto

    parent = minted(org, *written)
    macaroon = BinarySerializer().deserialize_raw(wire.binary_of(parent))
    for caveat in added:
        macaroon.add_first_party_caveat(caveats.encode(caveat))
    theirs = wire.encode(BinarySerializer().serialize_raw(macaroon))
    assert minting.attenuate(parent, added).text == theirs
    assert genuine(theirs).branch_ids[: len(genuine(parent).branch_ids)] == genuine(parent).branch_ids
    verifier = Verifier()
    verifier.satisfy_general(lambda _: True)
    root = crypto.root_key(strategies.PRK, strategies.IDENTITY.encode())
    assert verifier.verify(Macaroon.deserialize(BinarySerializer().serialize(macaroon)), root)


def test_a_third_party_caveat_verifies_and_denies() -> None:
    macaroon = BinarySerializer().deserialize_raw(wire.binary_of(minted(caveats.parse(["org", "*", "*"]))))
    macaroon.add_third_party_caveat("https://elsewhere.example", b"k" * 32, "an id")
    text = wire.encode(BinarySerializer().serialize_raw(macaroon))
    decision = decide(
        present(text),
        worlds_access(),
        Circumstances(strategies.NOW),
        strategies.Keys(),
        strategies.NothingRevoked(),
    )
    assert [denial.reason for denial in decision.denials] == [Reason.THIRD_PARTY]


def worlds_access() -> Access:
    from almond_core.masks import parse_actions

    return Access(org="acme", app="web", actions=parse_actions("r"))


def _kinds() -> Iterator[tuple[Kind, str]]:
    for org in strategies.ORGS:
        for app in strategies.APPS:
            yield from ((Deploy(app), org), (Ssh(app), org), (MachineExec(app), org))
            yield MachineExec(app, (Pattern(("ls",)), Pattern(("cat",), is_prefix=True))), org
            yield Service("s", MintRole(app)), org
        yield from ((OrgWide(), org), (Readonly(), org), (LitefsCloud("c1"), org), (Wireguard(), org))
        yield from ((Service("s", MintRole()), org), (Service("s", RevokeRole()), org))
    yield Service("s", VerifyRole()), "*"


kinds = st.sampled_from(list(_kinds())) | st.lists(any_caveats, min_size=1, max_size=3).map(
    lambda given: (Custom(tuple(given)), "")
)
personals = st.builds(
    Personal,
    st.just("ann"),
    st.lists(st.sampled_from(strategies.ORGS), min_size=1, unique=True).map(tuple),
    st.sampled_from(("member", "billing_manager", "admin")),
)


@given(org_caveats, more, kinds, accesses(), circumstances)
def test_a_minted_token_never_permits_what_its_minter_denies(
    org: Caveat, written: list[Caveat], kind: tuple[Kind, str], access: Access, when: Circumstances
) -> None:
    caller = minted(org, *written)
    inherited = minting.inherit(genuine(caller), kind[0].caveats(kind[1]))
    child = minting.mint(strategies.PRK, strategies.IDENTITY, inherited).text
    assert permits(caller, access, when) or not permits(child, access, when)
    assert len(set(inherited)) == len(inherited)
    assert caveats.parse(wire.first_party(inherited[0]).body).NAME in {"org", "orgs"}


@given(
    org_caveats,
    more,
    personals,
    kinds,
    more,
    st.integers(strategies.NOW - 20, strategies.NOW + 20),
    st.data(),
)
def test_a_child_of_a_personal_token_permits_no_more_except_by_time(
    org: Caveat,
    written: list[Caveat],
    personal: Personal,
    kind: tuple[Kind, str],
    added: list[Caveat],
    end: int,
    data: st.DataObject,
) -> None:
    caller = minted(org, *written)
    session = Valid(None, end)
    of_login = minting.inherit(genuine(caller), personal.caveats(""), session)
    assert of_login[1] == caveats.encode(session)
    login = minting.mint(strategies.PRK, replace(strategies.IDENTITY, kind="personal"), of_login).text
    held = minting.attenuate(login, added).text
    inherited = minting.inherit(genuine(held), kind[0].caveats(kind[1]))
    child = minting.mint(strategies.PRK, strategies.IDENTITY, inherited).text
    access, when = data.draw(accesses()), data.draw(circumstances)
    assert permits(caller, access, when) or not permits(login, access, when)
    assert permits(caller, access, when) or not permits(child, access, when)
    without_session = minted(*(caveats.parse(c.body) for i, c in enumerate(genuine(held).caveats) if i != 1))
    assert permits(without_session, access, when) or not permits(child, access, when)


def test_a_child_of_a_personal_token_inherits_all_but_the_session() -> None:
    admin = minted(caveats.parse(["org", "*", "*"]), Valid(None, strategies.NOW + 9))
    session = Valid(None, strategies.NOW + 9)  # ends when the admin's token ends, but is a caveat of its own
    of_login = minting.inherit(genuine(admin), Personal("ann", ("acme",), "member").caveats(""), session)
    assert of_login == (
        b'["orgs",{"acme":"*"}]',
        caveats.encode(session),
        b'["roles",["member"]]',
        caveats.encode(session),
    )
    login = minting.mint(strategies.PRK, replace(strategies.IDENTITY, kind="personal"), of_login).text
    held = minting.attenuate(login, [caveats.parse(["action", "r"])]).text
    assert minting.inherit(genuine(held), Deploy("web").caveats("acme")[:1]) == (
        b'["orgs",{"acme":"*"}]',
        b'["roles",["member"]]',
        caveats.encode(session),
        b'["action","r"]',
        b'["org","acme","*"]',
    )
    # A child of another kind inherits everything.
    other = minting.mint(strategies.PRK, strategies.IDENTITY, of_login).text
    assert minting.inherit(genuine(other), [])[1] == caveats.encode(session)


@given(org_caveats, st.lists(any_caveats, max_size=3), accesses(), circumstances)
def test_alternatives_never_mix(
    org: Caveat, written: list[Caveat], access: Access, when: Circumstances
) -> None:
    tokens = [minted(org, *written), minted(caveats.parse(["org", "acme", "r"])), "alm1_broken"]
    header = ",".join(tokens)
    decision = decide(present(header), access, when, strategies.Keys(), strategies.NothingRevoked())
    assert bool(decision) == any(permits(each, access, when) for each in tokens[:2])
    if not decision:
        assert {denial.token_index for denial in decision.denials} == {0, 1, 2}
