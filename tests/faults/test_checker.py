"""Rounds of random faults break no law. `make test-faults` plays many more, and shows each guard's need."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults.checker import run_world
from postgres import PostgresServer

ROUNDS = 10


@pytest.mark.parametrize("index", range(2))
async def test_no_round_of_faults_breaks_a_law(index: int, tmp_path: Path, postgres: PostgresServer) -> None:
    seed = f"{random.SystemRandom().getrandbits(32):08x}"
    print(f"again: python -m faults.checker --seed {seed} --first {index} --rounds {ROUNDS}")
    outcome = await run_world(tmp_path, seed, index, postgres if index % 2 else None, ROUNDS)
    assert (outcome.rounds, outcome.violations) == (ROUNDS, [])
    assert outcome.counts["revoked"] > 0
    assert outcome.counts["yes"] > 0
