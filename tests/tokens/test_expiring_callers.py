"""Callers whose tokens end soon are counted once each, for an hour, and in bounded memory."""

from __future__ import annotations

import pytest

from almond_core import caveats, wire
from almond_core.caveats import Org, Valid
from almond_core.chain import VerifiedToken
from almond_core.masks import ALL
from almond_core.model import Identity, token_id_at
from almond_server.tokens import expiring_callers
from almond_server.tokens.expiring_callers import ExpiringCallers

DAY = 86_400
NOW = 1_700_000_000


def token(serial: int, *, left: int = 5 * DAY, branch: int = 0) -> VerifiedToken:
    """Return a token that was issued 80 days ago."""
    identity = Identity(
        "k1", token_id_at((NOW - 80 * DAY) * 1000, serial.to_bytes(10, "big")), "org", "acme", ""
    )
    written = [wire.first_party(caveats.encode(each)) for each in (Org("acme", ALL), Valid(None, NOW + left))]
    own = serial.to_bytes(8, "big") + branch.to_bytes(8, "big")
    return VerifiedToken(identity, tuple(written), (bytes(16), own), b"")


def test_each_token_counts_once_with_all_that_derives_from_it() -> None:
    callers = ExpiringCallers()
    for serial in (1, 2):
        for branch in (0, 1, 1):
            callers.record(token(serial, branch=branch), NOW)
    assert callers.count(NOW) == 2


@pytest.mark.parametrize("left", [14 * DAY, 300 * DAY])
def test_a_token_with_14_days_left_does_not_count_until_it_has_fewer(left: int) -> None:
    callers = ExpiringCallers()
    callers.record(token(1, left=left), NOW)
    assert callers.count(NOW) == 0
    later = NOW + left - 14 * DAY + 1
    callers.record(token(1, left=left), later)
    assert callers.count(later) == 1


def test_a_caller_counts_for_an_hour_after_its_last_call() -> None:
    callers = ExpiringCallers()
    callers.record(token(1), NOW)
    callers.record(token(2), NOW + 1)
    callers.record(token(1), NOW + 1800)
    assert callers.count(NOW + 3600) == 2
    assert callers.count(NOW + 3601) == 1
    assert callers.count(NOW + 1800 + 3599) == 1
    assert callers.count(NOW + 1800 + 3600) == 0


def test_memory_is_bounded_and_the_caller_seen_longest_ago_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expiring_callers, "MAX_CALLERS", 3)
    callers = ExpiringCallers()
    for serial in (1, 2, 3):
        callers.record(token(serial), NOW + serial)
    callers.record(token(1), NOW + 10)
    callers.record(token(4), NOW + 11)
    assert callers.count(NOW + 11) == 3
    # Token 2 was the one that went: the others were seen at 3, 10 and 11.
    assert callers.count(NOW + 3600 + 2) == 3
    assert callers.count(NOW + 3600 + 3) == 2
    assert len(callers._lifetimes) == 3
