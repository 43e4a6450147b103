"""Take out one guard of the server after the other, and see that the checker notices each time.

python -m faults.guards
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.table import Table

from faults.checker import out, run_world
from faults.rounds import BLIND_SERVER
from faults.unguarded import GUARDS
from support.postgres import PostgresServer

_MOST_ROUNDS: Final = 30


@dataclass(frozen=True)
class Shown:
    """The faults under which a guard is needed, and words of the laws that are broken without it."""

    faults: frozenset[str]
    broken: tuple[str, ...]


SHOWN: Final = {
    "relay": Shown(frozenset({BLIND_SERVER}), ("go on by heartbeats",)),
    "gap-check": Shown(frozenset({"a_lost_past"}), ("a yes", "no longer kept")),
    "age-check": Shown(frozenset({"an_island"}), ("a yes",)),
    "min-revision-check": Shown(frozenset({"a_paused_valkey"}), ("below min_revision",)),
    "minter-check": Shown(frozenset({"a_paused_valkey"}), ("a yes", "minted by")),
    "watch-check": Shown(frozenset({"an_island"}), ("claims to know all",)),
    "hmac": Shown(frozenset({"a_forgery"}), ("a live token denied", "a yes", "did not heal", "never got")),
}


def main() -> None:
    """Play rounds without each guard until a law is broken; exit 1 if one is not missed."""
    seed = f"{random.SystemRandom().getrandbits(32):08x}"
    out.print(f"seed {seed}")
    table, unnoticed = Table("guard taken out", "rounds until noticed", "by what"), 0
    with PostgresServer() as postgres:
        for guard in GUARDS:
            rounds, violation = _without(guard, seed, postgres)
            unnoticed += not violation
            table.add_row(guard, str(rounds), violation.partition(":")[0] or "NOTHING")
            out.print(f"{guard}: {rounds} rounds, {violation[:100] or 'NOT NOTICED'}")
    out.print(table)
    raise typer.Exit(1 if unnoticed else 0)


def _without(guard: str, seed: str, postgres: PostgresServer) -> tuple[int, str]:
    shown = SHOWN[guard]
    with tempfile.TemporaryDirectory(prefix="almond-world-") as directory:
        playing = run_world(Path(directory), seed, 1, postgres, _MOST_ROUNDS, guard, shown.faults)
        outcome = asyncio.run(playing)
    found = [each for each in outcome.violations if any(words in each for words in shown.broken)]
    return outcome.rounds, found[0] if found else ""


if __name__ == "__main__":
    typer.run(main)
