"""Rounds of faults by the hundred, each reproducible by its seed: see `--help`.

python -m faults.checker --rounds 1000
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from faults.kinds import has_own_clock, kind_of
from faults.rounds import Rounds
from faults.system import world
from faults.unguarded import GUARDS
from support.postgres import PostgresServer

ROUNDS_A_WORLD = 10

out = Console(highlight=False, soft_wrap=True, markup=False)


@dataclass
class Outcome:
    """What came of the rounds of one world."""

    world: int
    kind: str
    store: str
    rounds: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    violations: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


async def run_world(
    directory: Path,
    seed: str,
    index: int,
    postgres: PostgresServer | None,
    rounds: int,
    without: str = "",
    only: frozenset[str] = frozenset(),
) -> Outcome:
    """Play the rounds of the world of this number; ends with the first round that breaks a law."""
    outcome = Outcome(index, kind_of(index).name, "SQLite" if postgres is None else "PostgreSQL")
    chance = random.Random(f"{seed}/{index}")
    kind = kind_of(index)
    async with world(directory, kind, postgres, without, own_clock=has_own_clock(index)) as built:
        playing = Rounds(built, chance, only)
        try:
            await playing.begin()
            for number in range(rounds):
                if playing.history.violations:
                    break
                began = time.monotonic()
                await playing.play(random.Random(f"{seed}/{index}/{number}"))
                took = time.monotonic() - began
                outcome.rounds, outcome.seconds = number + 1, outcome.seconds + took
                outcome.slowest = max(outcome.slowest, took)
            if not playing.history.violations:
                await playing.begin_anew()
        finally:
            await playing.close()
    if playing.history.violations:
        faults = "; ".join(playing.faults)
        outcome.violations = [f"[{faults}] {each}" for each in playing.history.violations]
    outcome.counts = dict(playing.calls.counts + playing.watchers.counts)
    return outcome


def main(
    rounds: Annotated[int, typer.Option(help="How many rounds, in worlds of ten.")] = 20,
    seed: Annotated[str, typer.Option(help="What all chance comes from; printed.")] = "",
    first: Annotated[int, typer.Option(help="The first world: to repeat one of a run before.")] = 0,
    without: Annotated[str, typer.Option(help=f"Take out a guard: {', '.join(GUARDS)}.")] = "",
    only: Annotated[list[str] | None, typer.Option(help="Only faults of these names.")] = None,
    log: Annotated[Path | None, typer.Option(help="Write what came of each world; go on from there.")] = None,
) -> None:
    """Break things while clients work, and see that no promise of the revocation plane is broken."""
    known = (
        [] if log is None or not log.exists() else [json.loads(line) for line in log.read_text().splitlines()]
    )
    seed = seed or (known[0]["seed"] if known else f"{random.SystemRandom().getrandbits(32):08x}")
    out.print(f"seed {seed}")
    done = {each["world"] for each in known}
    total, broken = Counter[str](), 0
    with PostgresServer() as postgres:
        for index in range(first, first + -(-rounds // ROUNDS_A_WORLD)):
            if index in done:
                continue
            directory = Path(tempfile.mkdtemp(prefix=f"almond-world-{index}-"))
            store = postgres if index % 2 else None
            outcome = asyncio.run(
                run_world(
                    directory, seed, index, store, min(rounds, ROUNDS_A_WORLD), without, frozenset(only or ())
                )
            )
            total.update(outcome.counts)
            broken += bool(outcome.violations)
            _tell(outcome, directory)
            if log is not None:
                with log.open("a") as file:
                    file.write(json.dumps({"seed": seed} | asdict(outcome)) + "\n")
            if not outcome.violations:
                shutil.rmtree(directory)
    out.print(f"{dict(total)}; {broken} worlds broke a law")
    raise typer.Exit(1 if broken else 0)


def _tell(outcome: Outcome, directory: Path) -> None:
    out.print(
        f"world {outcome.world}, {outcome.kind} on {outcome.store}: {outcome.rounds} rounds in "
        f"{outcome.seconds:.1f} s, slowest {outcome.slowest:.1f} s, {outcome.counts}"
    )
    for violation in outcome.violations[:20]:
        out.print(f"  broken: {violation}", style="red")
    if outcome.violations:
        out.print(f"  logs: {directory}", style="red")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        typer.run(main)
