"""The rate limit admits a number of calls a minute for each key."""

from __future__ import annotations

import pytest

from almond_server.errors import RateLimitedError
from almond_server.tokens.rate_limit import Limiter
from support.clock import SetClock


def test_a_call_over_the_limit_is_refused_with_the_time_to_wait(clock: SetClock) -> None:
    limiter = Limiter(3, clock)
    for _ in range(3):
        limiter.spend("a")
        clock.advance(10)
    with pytest.raises(RateLimitedError) as caught:
        limiter.spend("a")
    assert caught.value.retry_after == pytest.approx(30)


def test_after_the_advised_time_the_key_has_its_whole_limit_again(clock: SetClock) -> None:
    limiter = Limiter(2, clock)
    for _ in range(2):
        limiter.spend("a")
        limiter.spend("a")
        with pytest.raises(RateLimitedError) as caught:
            limiter.spend("a")
        clock.advance(caught.value.retry_after)


def test_each_key_has_a_limit_of_its_own(clock: SetClock) -> None:
    limiter = Limiter(1, clock)
    limiter.spend("token a", "peer 1")
    limiter.spend("token b", "peer 2")
    for keys in (("token a", "peer 3"), ("token c", "peer 1")):
        with pytest.raises(RateLimitedError):
            limiter.spend(*keys)


def test_a_refusal_counts_for_no_key(clock: SetClock) -> None:
    limiter = Limiter(1, clock)
    limiter.spend("peer 1")
    with pytest.raises(RateLimitedError):
        limiter.spend("token a", "peer 1")
    limiter.spend("token a", "peer 2")


def test_memory_is_bounded_and_the_oldest_keys_are_dropped(clock: SetClock) -> None:
    limiter = Limiter(1, clock)
    for number in range(10_001):
        limiter.spend(f"peer {number}")
    assert len(limiter._windows) == 10_000
    limiter.spend("peer 0")
    with pytest.raises(RateLimitedError):
        limiter.spend("peer 10000")
