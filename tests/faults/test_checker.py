"""Random faults break no law of revocation, in 20 rounds of the checker; `make test-faults` plays more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults.checker import run_system
from faults.kinds import KINDS
from support.postgres import PostgresServer

ROUNDS = {"servers": 14, "workers and sentinels": 6}


@pytest.mark.timeout(400)  # a server has a minute to recover, as other tests may load this machine
@pytest.mark.parametrize(("kind", "rounds"), ROUNDS.items())
async def test_no_round_of_faults_breaks_a_law(
    kind: str, rounds: int, tmp_path: Path, postgres: PostgresServer
) -> None:
    seed = f"{random.SystemRandom().getrandbits(32):08x}"
    number = next(number for number, each in enumerate(KINDS) if each.name == kind)
    index = 2 * number + random.SystemRandom().getrandbits(1)  # on SQLite or PostgreSQL
    print(f"again: python -m faults.checker --seed {seed} --first {index} --rounds {rounds}")
    outcome = await run_system(tmp_path, seed, index, postgres if index % 2 else None, rounds)
    assert (outcome.rounds, outcome.violations) == (rounds, [])
    assert {name for name, count in outcome.counts.items() if count} >= {
        "revoked",
        "allowed",
        "received",
        "heartbeats",
    }
