"""A minted token is issued after every cut-off of its org, even if this server's clock is behind."""

from __future__ import annotations

import pytest

from almond_core import minting, wire
from almond_core.caveats import Org, encode
from almond_core.decision import LIVE
from almond_core.kinds import OrgWide
from almond_core.masks import ALL
from almond_core.model import Identity, token_id_at
from almond_server.domain.records import Record
from almond_server.domain.revocations import CutOff, Revocation, Scope
from almond_server.domain.selections import OfOrg, Selection
from almond_server.domain.stores import Actor, Idempotency
from almond_server.errors import (
    IssuedTooEarlyError,
    MintedTokenEndedError,
    MinterRevokedError,
    UnauthenticatedError,
)
from almond_server.tokens.callers import Call
from almond_server.tokens.expiry_policy import Policy
from almond_server.tokens.mint import Minted, Minter, MintOrder
from fakes.revocations import MemoryRevocations
from fakes.store import MemoryPolicies, MemoryStore, MemoryTokens
from support.clock import SetClock
from support.plane import PRK, Plane
from support.samples import OPERATOR

REQUEST = ("again", b"the same content")


async def following(store: MemoryStore, clock: SetClock, tokens: MemoryTokens | None = None) -> Plane:
    """Return a server whose view has everything that the store has."""
    plane = Plane(clock, store, tokens=tokens)
    await plane.follower.catch_up()
    return plane


async def mint(
    server: Plane, caller: str, org: str = "acme", request: tuple[str, bytes] | None = None
) -> Minted:
    policy = Policy(server.callers, MemoryPolicies(server.store), server.clock)
    minter = Minter(server.callers, server.keys, server.tokens, policy, server.view, server.clock)
    return await minter.mint(Call(caller), MintOrder(OrgWide(), org, "", 60), request)


def signed(at_ms: int, org: str = "*", home: str = "almond") -> str:
    identity = Identity("k1", token_id_at(at_ms, bytes(10)), "org", home, "")
    return minting.mint(PRK, identity, [encode(Org(org, ALL))]).text


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_a_server_whose_clock_is_behind_mints_live_tokens(store: MemoryStore, clock: SetClock) -> None:
    ahead = clock.now_ms() + 20_000
    await MemoryRevocations(store).revoke([], OPERATOR, "", None, 0, [CutOff(Scope.ORG, "acme", ahead)])
    server = await following(store, clock)
    admin = signed(clock.now_ms())
    made = await mint(server, admin)
    assert made.record.created_at_ms == ahead + 1
    (caller,) = server.callers.authenticate(Call(made.text))
    assert caller.token.identity.issued_at_ms == ahead + 1
    assert server.view.standing(caller.token, "acme") is LIVE
    assert (await mint(server, admin, "other")).record.created_at_ms == clock.now_ms()


async def test_what_a_server_with_a_fast_clock_minted_is_cut_off_too(
    store: MemoryStore, clock: SetClock
) -> None:
    fast_clock = SetClock()
    fast_clock.wall_ms += 20_000
    fast_server = await following(store, fast_clock)
    made = await mint(fast_server, signed(clock.now_ms()))
    revocations, now = MemoryRevocations(store), clock.now_ms() // 1000
    await revocations.revoke_selection(Selection(OfOrg("acme")), None, OPERATOR, "", None, now)
    server = await following(store, clock)
    with pytest.raises(UnauthenticatedError, match="everything of org acme"):
        server.callers.authenticate(Call(made.text))
    assert server.callers.authenticate(Call((await mint(server, signed(clock.now_ms()))).text))


class CutOffEachTime(MemoryTokens):
    """Records of an org that is cut off again just before each of them."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.tries = 0
        self._revocations = MemoryRevocations(store)

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        self.tries += 1
        cut_off = CutOff(Scope.ORG, "acme", record.created_at_ms)
        await self._revocations.revoke([], OPERATOR, "", None, now, [cut_off])
        return await super().add(record, actor, request, now)


async def test_a_mint_that_is_always_cut_off_again_is_given_up(store: MemoryStore, clock: SetClock) -> None:
    tokens = CutOffEachTime(store)
    server = await following(store, clock, tokens)
    with pytest.raises(IssuedTooEarlyError):
        await mint(server, signed(clock.now_ms()))
    assert (tokens.tries, list(store.records)) == (3, [])


async def test_a_token_that_has_expired_since_is_not_minted_by_a_retry(
    store: MemoryStore, clock: SetClock
) -> None:
    server, admin = await following(store, clock), signed(clock.now_ms())
    made = await mint(server, admin, request=REQUEST)
    clock.advance(59)
    await server.follower.catch_up()
    assert (await mint(server, admin, request=REQUEST)).text == made.text
    clock.advance(1)
    await server.follower.catch_up()
    with pytest.raises(MintedTokenEndedError, match="expired"):
        await mint(server, admin, request=REQUEST)


async def test_a_retry_by_a_minter_that_was_revoked_since_gets_nothing(
    store: MemoryStore, clock: SetClock
) -> None:
    server, admin = await following(store, clock), signed(clock.now_ms())
    minter = (await mint(server, admin)).text
    await mint(server, minter, request=REQUEST)
    token_id = wire.decode(minter).unverified_identity.token_id
    await MemoryRevocations(store).revoke([Revocation(token_id, None, None)], OPERATOR, "", None, 0)
    with pytest.raises(MinterRevokedError):
        await mint(server, minter, request=REQUEST)
