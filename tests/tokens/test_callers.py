"""A caller's token is decoded and verified once, and cleared and checked for revocation on every call."""

from __future__ import annotations

from typing import Any

import pytest

from almond_core import caveats, crypto, minting
from almond_core.decision import LIVE, Revoked
from almond_core.model import Identity, token_id_at
from almond_server.adapters.system_clock import SystemClock
from almond_server.errors import PermissionDeniedError, UnauthenticatedError
from almond_server.tokens.callers import Call, Callers
from almond_server.tokens.last_used import LastUseRecorder
from almond_server.tokens.permissions import to_verify
from fakes.store import MemoryStore, MemoryTokens

PRK = crypto.extract(bytes(32))


class CountingKeys:
    """A ring of one key that counts how often it is read."""

    def __init__(self) -> None:
        self.asked = 0

    def prk(self, key_id: str) -> bytes | None:
        self.asked += 1
        return PRK


class FixedStanding:
    """Revocations that give one answer for every token."""

    def __init__(self) -> None:
        self.answer: Any = LIVE

    def standing(self, token: object, org: str | None) -> Any:
        return self.answer


def _token(number: int, *bodies: list[Any]) -> str:
    identity = Identity("k1", token_id_at(number, bytes(10)), "org", "acme", "")
    written = [caveats.encode(caveats.parse(body)) for body in (["org", "acme", "*"], *bodies)]
    return minting.mint(PRK, identity, written).text


def _callers(cache_size: int = 2) -> tuple[Callers, CountingKeys, FixedStanding]:
    keys, revocations = CountingKeys(), FixedStanding()
    uses = LastUseRecorder(MemoryTokens(MemoryStore()))
    callers = Callers(keys, revocations, uses, SystemClock(), 5, cache_size)  # type: ignore[arg-type]
    return callers, keys, revocations


def test_a_token_is_verified_once() -> None:
    callers, keys, _ = _callers()
    for _ in range(5):
        callers.permit(Call(_token(1)), to_verify("acme", None))
    assert (keys.asked, callers.misses, callers.hits) == (1, 1, 4)


def test_the_least_recently_used_is_evicted_first() -> None:
    callers, keys, _ = _callers()
    for number in (1, 2, 1, 3, 1):
        callers.permit(Call(_token(number)), to_verify("acme", None))
    assert keys.asked == 3
    callers.permit(Call(_token(2)), to_verify("acme", None))
    assert keys.asked == 4


def test_a_cached_token_is_cleared_and_checked_on_every_call() -> None:
    callers, _, revocations = _callers()
    callers.permit(Call(_token(1)), to_verify("acme", None))
    with pytest.raises(PermissionDeniedError):
        callers.permit(Call(_token(1)), to_verify("other", None))
    revocations.answer = Revoked("the token as minted, and all derived from it")
    with pytest.raises(UnauthenticatedError):
        callers.permit(Call(_token(1)), to_verify("acme", None))


def test_a_forged_token_is_never_cached() -> None:
    callers, keys, _ = _callers()
    forged = minting.mint(
        crypto.extract(b"x" * 32), Identity("k1", token_id_at(1, bytes(10)), "org", "", ""), []
    )
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            callers.permit(Call(forged.text), to_verify("acme", None))
    assert keys.asked == 2
