"""Rounds of random faults break no law. `make test-faults` plays many more, and shows each guard's need."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults.checker import run_world
from faults.kinds import KINDS
from support.postgres import PostgresServer

ROUNDS = {"servers": 14, "workers and sentinels": 6}


@pytest.mark.timeout(400)  # a server that does not heal gets a minute, as other tests may need all there is
@pytest.mark.parametrize(("kind", "rounds"), ROUNDS.items())
async def test_no_round_of_faults_breaks_a_law(
    kind: str, rounds: int, tmp_path: Path, postgres: PostgresServer
) -> None:
    seed = f"{random.SystemRandom().getrandbits(32):08x}"
    number = next(number for number, each in enumerate(KINDS) if each.name == kind)
    index = 2 * number + random.SystemRandom().getrandbits(1)  # on SQLite or PostgreSQL
    print(f"again: python -m faults.checker --seed {seed} --first {index} --rounds {rounds}")
    outcome = await run_world(tmp_path, seed, index, postgres if index % 2 else None, rounds)
    assert (outcome.rounds, outcome.violations) == (rounds, [])
    assert {name for name, count in outcome.counts.items() if count} >= {
        "revoked",
        "yes",
        "told",
        "heartbeats",
    }
