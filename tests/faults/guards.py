"""Takes one guard after the other out of the servers, and checks that the checker notices each time.

python -m faults.guards
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Final

import typer
from rich.table import Table

from faults.checker import out, run_system
from faults.rounds import BLIND_SERVER
from faults.unguarded import GUARDS
from support import leftovers
from support.postgres import PostgresServer

_MAX_ROUNDS: Final = 30


@dataclass(frozen=True)
class Need:
    """The faults under which a guard is needed, and words of the violations that are seen without it."""

    faults: frozenset[str]
    violations: tuple[str, ...]


NEEDS: Final = {
    "relay": Need(frozenset({BLIND_SERVER}), ("stay fresh by heartbeats",)),
    "gap-check": Need(frozenset({"a_lost_past"}), ("wrongly allowed", "REVISION_FORGOTTEN")),
    "age-check": Need(frozenset({"an_island"}), ("wrongly allowed",)),
    "min-revision-check": Need(frozenset({"a_paused_valkey"}), ("below min_revision",)),
    "minter-check": Need(frozenset({"a_paused_valkey"}), ("wrongly allowed", "minted by")),
    "watch-check": Need(frozenset({"an_island"}), ("claims to have all",)),
    "hmac": Need(
        frozenset({"a_forgery"}), ("a live token denied", "wrongly allowed", "did not heal", "never got")
    ),
}


def main() -> None:
    """Play rounds without each guard until a law is broken; exit 1 if one guard is not missed."""
    seed = f"{random.SystemRandom().getrandbits(32):08x}"
    out.print(f"seed {seed}")
    table, unnoticed = Table("guard taken out", "rounds until noticed", "violation"), 0
    with PostgresServer() as postgres:
        for guard in GUARDS:
            rounds, violation = _without(guard, seed, postgres)
            unnoticed += not violation
            table.add_row(guard, str(rounds), violation.partition(":")[0] or "NOTHING")
            out.print(f"{guard}: {rounds} rounds, {violation[:100] or 'NOT NOTICED'}")
    out.print(table)
    raise typer.Exit(1 if unnoticed else 0)


def _without(guard: str, seed: str, postgres: PostgresServer) -> tuple[int, str]:
    need = NEEDS[guard]
    with leftovers.temporary_directory("system") as directory:
        playing = run_system(directory, seed, 1, postgres, _MAX_ROUNDS, guard, need.faults)
        outcome = asyncio.run(playing)
    found = [each for each in outcome.violations if any(words in each for words in need.violations)]
    return outcome.rounds, found[0] if found else ""


if __name__ == "__main__":
    typer.run(main)
