"""The revocation view: what is revoked, how fresh that is, and when entries are dropped."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from almond_core import chain, crypto, minting, wire
from almond_core.caveats import Label, Org, encode
from almond_core.chain import VerifiedToken
from almond_core.decision import LIVE, Revoked
from almond_core.masks import ALL
from almond_core.model import Identity, token_id_at
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import KEPT_SECONDS, Change, Reading, Revocation
from almond_server.errors import CannotKnowError, WrongRevisionError
from almond_server.revocation.index.view import AnotherPastError, RevocationView
from almond_server.tokens.key_ring import KeyRing
from support.clock import SetClock

EPOCH = "0a1b2c3d"
NOW = 1_800_000_000
TOKEN_ID = token_id_at(1_700_000_000_000, bytes(10))


@pytest.fixture
def view(clock: SetClock) -> RevocationView:
    return RevocationView(EPOCH, 5.0, clock)


@pytest.fixture
def fresh(view: RevocationView, clock: SetClock) -> RevocationView:
    assert view.prove(Reading(EPOCH, 0, mark(0), NOW), clock.monotonic())
    return view


@pytest.fixture
def token(view: RevocationView) -> VerifiedToken:
    """A token of four generations: the identifier, the org, and two labels."""
    prk = crypto.extract(bytes(32))
    labels = [Label.new(bytes([number]) * 16, "") for number in (1, 2)]
    made = minting.mint(prk, Identity("k1", TOKEN_ID, "org", "acme", ""), [encode(Org("acme", ALL))])
    return chain.verify(
        wire.decode(minting.attenuate(made.text, labels).text), KeyRing({"k1": prk}, "k1", view)
    )


def mark(number: int) -> bytes:
    return number.to_bytes(8, "big")


def token_id(number: int) -> str:
    return token_id_at(1_700_000_000_000 + number, number.to_bytes(10, "big"))


def change(number: int, *branch_ids: bytes | None, token_id: str = TOKEN_ID) -> Change:
    revocations = tuple(Revocation(token_id, each, None) for each in branch_ids)
    return Change(number, mark(number), mark(number - 1), revocations)


def test_a_new_view_is_stale(view: RevocationView, token: VerifiedToken) -> None:
    assert not view.is_fresh
    with pytest.raises(CannotKnowError):
        view.standing(token, None)
    with pytest.raises(CannotKnowError):
        view.require_fresh()


def test_a_reading_makes_it_fresh_for_the_maximum_staleness(
    fresh: RevocationView, clock: SetClock, token: VerifiedToken
) -> None:
    clock.advance(5.0)
    assert fresh.standing(token, None) is LIVE
    clock.advance(0.001)
    with pytest.raises(CannotKnowError):
        fresh.standing(token, None)


def test_age_counts_from_when_the_reading_began(view: RevocationView, clock: SetClock) -> None:
    began = clock.monotonic()
    clock.advance(6.0)
    view.prove(Reading(EPOCH, 0, mark(0), NOW + 6), began)
    assert not view.is_fresh


def test_a_late_reading_does_not_make_it_older(fresh: RevocationView, clock: SetClock) -> None:
    began = clock.monotonic()
    clock.advance(4.0)
    fresh.prove(Reading(EPOCH, 0, mark(0), NOW + 4), clock.monotonic())
    fresh.prove(Reading(EPOCH, 0, mark(0), NOW), began)
    assert fresh.store_time == NOW + 4
    clock.advance(4.0)
    assert fresh.is_fresh


@pytest.mark.parametrize("step", [-3600, -31, 31, 3600])
def test_while_the_wall_clock_differs_from_the_stores_it_is_stale(
    fresh: RevocationView, clock: SetClock, step: int
) -> None:
    fresh.require_sound()
    clock.wall_ms += step * 1000
    for check in (fresh.require_fresh, fresh.require_sound):
        with pytest.raises(CannotKnowError, match="clock"):
            check()
    clock.wall_ms -= step * 1000
    fresh.require_fresh()
    fresh.require_sound()


@pytest.mark.parametrize("step", [-29, 29])
def test_a_small_step_of_the_clock_is_tolerated(fresh: RevocationView, clock: SetClock, step: int) -> None:
    clock.wall_ms += step * 1000
    fresh.require_fresh()


def test_a_store_ahead_of_this_machines_clock_makes_it_stale(view: RevocationView, clock: SetClock) -> None:
    assert view.prove(Reading(EPOCH, 0, mark(0), NOW + 31), clock.monotonic())
    assert not view.is_fresh
    clock.wall_ms += 31_000
    assert view.is_fresh


def test_after_an_alarm_it_is_never_fresh_again(fresh: RevocationView, clock: SetClock) -> None:
    fresh.raise_alarm("look at it")
    fresh.prove(Reading(EPOCH, 0, mark(0), NOW), clock.monotonic())
    with pytest.raises(CannotKnowError, match="look at it"):
        fresh.require_fresh()


@pytest.mark.parametrize("reading", [Reading("ffffffff", 0, mark(0), NOW), Reading(EPOCH, 1, mark(1), NOW)])
def test_a_reading_of_another_store_or_beyond_the_view_proves_nothing(
    view: RevocationView, clock: SetClock, reading: Reading
) -> None:
    assert not view.prove(reading, clock.monotonic())
    assert not view.is_fresh
    assert view.store_time == 0


def test_only_the_next_change_is_applied(fresh: RevocationView) -> None:
    assert not fresh.apply(change(2, None))
    assert len(fresh) == 0
    assert fresh.apply(change(1, None))
    assert not fresh.apply(change(1, None, token_id="another"))
    assert fresh.revision == Revision(EPOCH, 1)
    assert len(fresh) == 1


def test_a_change_of_another_past_is_refused(fresh: RevocationView) -> None:
    """The store was restored, and gave the same number to another change."""
    fresh.apply(change(1, None))
    with pytest.raises(AnotherPastError):
        fresh.apply(replace(change(2, None), before=mark(9)))
    assert fresh.revision == Revision(EPOCH, 1)


def test_a_reading_of_another_past_is_refused(fresh: RevocationView, clock: SetClock) -> None:
    fresh.apply(change(1, None))
    clock.advance(6.0)
    with pytest.raises(AnotherPastError):
        fresh.prove(Reading(EPOCH, 1, mark(9), NOW), clock.monotonic())
    assert not fresh.is_fresh
    assert fresh.prove(Reading(EPOCH, 1, mark(1), NOW + 6), clock.monotonic())
    assert fresh.is_fresh


def test_a_view_that_was_filled_applies_the_next_change(view: RevocationView) -> None:
    view.take(change(1, None).revocations)
    view.stand_at(7, mark(7))
    assert not view.apply(change(7, None, token_id="known"))
    assert view.apply(change(8, None, token_id="new"))
    assert (len(view), view.revision.number) == (2, 8)


def test_a_token_revoked_whole_stays_revoked_whatever_else_is_revoked(
    fresh: RevocationView, token: VerifiedToken
) -> None:
    other = bytes(16)
    for number, branch_id in enumerate([other, None, other], start=1):
        assert fresh.standing(token, None) is LIVE or number == 3
        fresh.apply(change(number, branch_id))
    assert fresh.standing(token, None) == Revoked("the token as minted, and all derived from it")


@pytest.mark.parametrize("generation", range(4))
def test_a_branch_revoked_at_any_generation_revokes_what_is_derived(
    fresh: RevocationView, token: VerifiedToken, generation: int
) -> None:
    fresh.apply(change(1, token.branch_ids[generation]))
    assert len(token.branch_ids) == 4
    assert fresh.standing(token, None) == Revoked(
        f"what it was after step {generation}, and all derived from that"
    )


def test_entries_of_other_tokens_and_branches_do_not_matter(
    fresh: RevocationView, token: VerifiedToken
) -> None:
    fresh.apply(change(1, bytes(16)))
    fresh.apply(change(2, None, token.branch_ids[0], token_id="another"))
    assert fresh.standing(token, None) is LIVE


def test_several_branches_of_one_token_all_count(fresh: RevocationView, token: VerifiedToken) -> None:
    fresh.apply(change(1, bytes(16), token.branch_ids[3]))
    fresh.apply(change(2, b"\x01" * 16))
    assert fresh.standing(token, None) == Revoked("what it was after step 3, and all derived from that")
    assert len(fresh) == 1


def ending(number: int, ends_at: int | None, branch_id: bytes | None, token_id: str = TOKEN_ID) -> Change:
    return Change(number, mark(number), mark(number - 1), (Revocation(token_id, branch_id, ends_at),))


def at(view: RevocationView, clock: SetClock, store_time: int) -> RevocationView:
    """Return the view once its store's time is `store_time`."""
    clock.wall_ms = store_time * 1000
    assert view.prove(Reading(EPOCH, view.revision.number, view.mark, store_time), clock.monotonic())
    return view


def test_an_entry_is_dropped_a_day_after_its_tokens_end_and_not_before(
    view: RevocationView, clock: SetClock, token: VerifiedToken
) -> None:
    view.apply(ending(1, NOW, None))
    view.apply(ending(2, None, None, token_id="for ever"))
    view.apply(ending(3, NOW + 1, None, token_id="later"))
    assert at(view, clock, NOW + KEPT_SECONDS).prune() == 0
    assert view.standing(token, None) == Revoked("the token as minted, and all derived from it")
    assert at(view, clock, NOW + KEPT_SECONDS + 1).prune() == 1
    assert view.standing(token, None) is LIVE
    assert len(view) == 2
    assert at(view, clock, NOW + 10 * KEPT_SECONDS).prune() == 1
    assert len(view) == 1


def test_a_branch_is_dropped_alone(view: RevocationView, clock: SetClock, token: VerifiedToken) -> None:
    view.apply(ending(1, NOW - 9, token.branch_ids[3]))
    view.apply(ending(2, NOW + 9, token.branch_ids[1]))
    assert at(view, clock, NOW + KEPT_SECONDS).prune() == 1
    assert view.standing(token, None) == Revoked("what it was after step 1, and all derived from that")
    assert at(view, clock, NOW + 2 * KEPT_SECONDS).prune() == 1
    assert len(view) == 0


def test_the_end_of_a_branch_does_not_bring_back_the_token(
    view: RevocationView, clock: SetClock, token: VerifiedToken
) -> None:
    view.apply(ending(1, NOW - 9, token.branch_ids[3]))
    view.apply(ending(2, None, None))
    at(view, clock, NOW + KEPT_SECONDS).prune()
    assert list(view.entries()) == [Revocation(TOKEN_ID, None, None)]
    assert view.standing(token, None) == Revoked("the token as minted, and all derived from it")


def test_many_entries_are_dropped_in_slices(view: RevocationView, clock: SetClock) -> None:
    for number in range(1, 10_001):
        view.apply(ending(number, NOW, None, token_id=token_id(number)))
    at(view, clock, NOW + 2 * KEPT_SECONDS)
    slices = [view.prune() for _ in range(4)]
    assert sum(slices) == 10_000
    assert max(slices) <= 4300
    assert len(view) == 0


def test_a_slice_of_dropping_ends_after_its_time() -> None:
    class Slow(SetClock):
        def monotonic(self) -> float:
            self.advance(0.0006)
            return self.seconds

    view = RevocationView(EPOCH, 5.0, Slow())
    view.take([Revocation(token_id(number), None, NOW) for number in range(2000)])
    view.store_time = NOW + 2 * KEPT_SECONDS
    assert 200 <= view.prune() <= 600


def test_a_revision_is_seen_or_not_yet_seen_or_of_another_store(fresh: RevocationView) -> None:
    fresh.apply(change(1, None))
    for number in (0, 1):
        fresh.require_revision(Revision(EPOCH, number))
    with pytest.raises(CannotKnowError):
        fresh.require_revision(Revision(EPOCH, 2))
    with pytest.raises(WrongRevisionError):
        fresh.require_revision(Revision("ffffffff", 0))


def test_an_unknown_key_is_unknown_only_while_the_view_is_fresh(
    fresh: RevocationView, clock: SetClock
) -> None:
    ring = KeyRing({"k1": bytes(32)}, "k1", fresh)
    assert ring.prk("k2") is None
    clock.advance(6.0)
    assert ring.prk("k1") == bytes(32)
    with pytest.raises(CannotKnowError):
        ring.prk("k2")


def test_its_age_is_that_of_the_reading_that_proves_it(view: RevocationView, clock: SetClock) -> None:
    assert view.age == math.inf
    assert view.prove(Reading(EPOCH, 0, mark(0), NOW), clock.monotonic())
    clock.advance(1.5)
    assert view.age == 1.5


def test_its_memory_counts_both_tables(fresh: RevocationView) -> None:
    sizes = [fresh.memory_bytes]
    for each in (change(1, None), change(2, b"b" * 16, token_id=token_id(2))):
        assert fresh.apply(each)
        sizes.append(fresh.memory_bytes)
    assert sizes[1] - sizes[0] == 20
    assert sizes[2] - sizes[1] > 40
    assert not fresh.has_alarm
    fresh.raise_alarm("sentence")
    assert fresh.has_alarm
