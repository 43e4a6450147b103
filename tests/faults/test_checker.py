"""Rounds of random faults break no law; and with any one guard taken out, they do."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults.checker import run_world
from faults.rounds import BLIND_SERVER
from postgres import PostgresServer

_FAULTS_THAT_SHOW = {
    "relay": ({BLIND_SERVER}, "go on by heartbeats"),
    "gap-check": ({"a_paused_server", "a_lost_entry"}, "a yes"),
    "age-check": ({"an_island"}, "a yes"),
    "min-revision-check": ({"a_paused_valkey"}, "below min_revision"),
    "minter-check": ({"a_flush"}, "a yes|minted by"),
    "hmac": ({"a_forgery"}, "live token denied|did not heal|a yes|never got"),
}


def _seed() -> str:
    seed = f"{random.SystemRandom().getrandbits(32):08x}"
    print(f"seed {seed}")
    return seed


@pytest.mark.parametrize("index", range(4))
async def test_no_round_of_faults_breaks_a_law(index: int, tmp_path: Path, postgres: PostgresServer) -> None:
    outcome = await run_world(tmp_path, _seed(), index, postgres if index % 2 else None, rounds=5)
    assert (outcome.rounds, outcome.violations) == (5, [])
    assert outcome.counts["revoked"] > 0
    assert outcome.counts["yes"] > 0


@pytest.mark.parametrize("guard", _FAULTS_THAT_SHOW)
async def test_without_a_guard_a_law_is_broken(guard: str, tmp_path: Path, postgres: PostgresServer) -> None:
    faults, broken = _FAULTS_THAT_SHOW[guard]
    outcome = await run_world(tmp_path, _seed(), 1, postgres, 30, guard, frozenset(faults))
    assert any(each for each in outcome.violations for word in broken.split("|") if word in each), outcome
