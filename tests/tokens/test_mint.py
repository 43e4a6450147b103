"""Mint issues after what was cut off, whatever this server's clock says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from almond_core import crypto, minting
from almond_core.caveats import Org, encode
from almond_core.decision import LIVE
from almond_core.kinds import OrgWide
from almond_core.masks import ALL
from almond_core.model import Identity, token_id_at
from almond_server.domain.records import Record
from almond_server.domain.revocations import CutOff, Scope
from almond_server.domain.selections import OfOrg, Selection
from almond_server.domain.stores import Actor, Idempotency
from almond_server.errors import IssuedTooEarlyError
from almond_server.revocation.index.view import RevocationView
from almond_server.tokens.callers import Call, Callers
from almond_server.tokens.expiry_policy import Policy
from almond_server.tokens.key_ring import KeyRing
from almond_server.tokens.last_used import LastUseRecorder
from almond_server.tokens.mint import Minted, Minter, MintOrder
from fakes.revocations import MemoryRevocations
from fakes.store import MemoryPolicies, MemoryStore, MemoryTokens
from support.clock import SetClock

PRK = crypto.extract(bytes(32))
OPERATOR = Actor("operator")


@dataclass
class Server:
    """A server that mints on a store that others may share."""

    minter: Minter
    callers: Callers
    view: RevocationView

    async def mint(self, caller: str, org: str = "acme") -> Minted:
        return await self.minter.mint(Call(caller), MintOrder(OrgWide(), org, "", None), None)


async def server(store: MemoryStore, clock: SetClock, tokens: MemoryTokens | None = None) -> Server:
    revocations, kept = MemoryRevocations(store), tokens or MemoryTokens(store)
    view = RevocationView(store.epoch, 5.0, clock)
    reading = await revocations.reading(clock.now_ms() // 1000)
    for change in await revocations.changes_after(0, 99):
        view.apply(change)
    view.prove(reading, clock.monotonic())
    keys = KeyRing({"k1": PRK}, "k1", view)
    callers = Callers(keys, view, LastUseRecorder(kept), clock, 5)
    policy = Policy(callers, MemoryPolicies(store), clock)
    return Server(Minter(callers, keys, kept, policy, view, clock), callers, view)


def signed(at_ms: int, org: str = "*", home: str = "almond") -> str:
    identity = Identity("k1", token_id_at(at_ms, bytes(10)), "org", home, "")
    return minting.mint(PRK, identity, [encode(Org(org, ALL))]).text


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_a_server_whose_clock_is_behind_mints_tokens_that_live(
    store: MemoryStore, clock: SetClock
) -> None:
    ahead = clock.now_ms() + 20_000
    await MemoryRevocations(store).revoke([], OPERATOR, "", None, 0, [CutOff(Scope.ORG, "acme", ahead)])
    here = await server(store, clock)
    admin = signed(clock.now_ms())
    made = await here.mint(admin)
    assert made.record.created_at_ms == ahead + 1
    (caller,) = here.callers.authenticate(Call(made.text))
    assert caller.token.identity.issued_at_ms == ahead + 1
    assert here.view.standing(caller.token, "acme") is LIVE
    assert (await here.mint(admin, "other")).record.created_at_ms == clock.now_ms()


async def test_what_a_server_with_a_fast_clock_minted_is_cut_off_too(
    store: MemoryStore, clock: SetClock
) -> None:
    fast = SetClock()
    fast.wall_ms += 20_000
    there = await server(store, fast)
    made = await there.mint(signed(clock.now_ms()))
    revocations, now = MemoryRevocations(store), clock.now_ms() // 1000
    await revocations.revoke_selection(Selection(OfOrg("acme")), None, OPERATOR, "", None, now)
    here = await server(store, clock)
    with pytest.raises(Exception, match="everything of org acme"):
        here.callers.authenticate(Call(made.text))
    assert here.callers.authenticate(Call((await here.mint(signed(clock.now_ms()))).text))


class Hunted(MemoryTokens):
    """Records of an org that is cut off again just before every one."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.tries = 0
        self._revocations = MemoryRevocations(store)

    async def add(self, record: Record, actor: Actor, request: Idempotency | None, now: int) -> Record:
        self.tries += 1
        cut_off = CutOff(Scope.ORG, "acme", record.created_at_ms)
        await self._revocations.revoke([], OPERATOR, "", None, now, [cut_off])
        return await super().add(record, actor, request, now)


async def test_a_mint_that_is_cut_off_again_and_again_ends(store: MemoryStore, clock: SetClock) -> None:
    hunted = Hunted(store)
    here = await server(store, clock, hunted)
    with pytest.raises(IssuedTooEarlyError):
        await here.mint(signed(clock.now_ms()))
    assert (hunted.tries, list(store.records)) == (3, [])
