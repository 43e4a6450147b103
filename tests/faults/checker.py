"""Plays rounds of random faults by the hundred, each reproducible by its seed: see `--help`.

python -m faults.checker --rounds 1000
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from faults.kinds import has_own_clock, kind_of
from faults.rounds import Rounds
from faults.system import system_under_test
from faults.unguarded import GUARDS
from support import leftovers
from support.postgres import PostgresServer

ROUNDS_PER_SYSTEM = 10

out = Console(highlight=False, soft_wrap=True, markup=False)


@dataclass
class Outcome:
    """The result of the rounds of one system."""

    index: int
    kind: str
    store: str
    rounds: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    violations: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


async def run_system(
    directory: Path,
    seed: str,
    index: int,
    postgres: PostgresServer | None,
    rounds: int,
    without: str = "",
    only: frozenset[str] = frozenset(),
) -> Outcome:
    """Play the rounds of system number `index`; ends with the first round that breaks a law."""
    outcome = Outcome(index, kind_of(index).name, "SQLite" if postgres is None else "PostgreSQL")
    chance = random.Random(f"{seed}/{index}")
    kind = kind_of(index)
    own_clock = has_own_clock(index)
    async with system_under_test(directory, kind, postgres, without, own_clock=own_clock) as system:
        playing = Rounds(system, chance, only)
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
                await playing.restart_all()
        finally:
            await playing.close()
    if playing.history.violations:
        faults = "; ".join(playing.faults)
        outcome.violations = [f"[{faults}] {each}" for each in playing.history.violations]
    outcome.counts = dict(playing.calls.counts + playing.watchers.counts)
    return outcome


def main(
    rounds: Annotated[int, typer.Option(help="How many rounds; each system plays ten.")] = 20,
    seed: Annotated[str, typer.Option(help="The seed of all random choices; it is printed.")] = "",
    first: Annotated[
        int, typer.Option(help="The number of the first system: to repeat one of an earlier run.")
    ] = 0,
    without: Annotated[str, typer.Option(help=f"Take a guard out of the servers: {', '.join(GUARDS)}.")] = "",
    only: Annotated[list[str] | None, typer.Option(help="Inject only the faults of these names.")] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Append the result of each system to this file; skip the systems that it has."),
    ] = None,
) -> None:
    """Inject faults while clients call the servers, and check that no law of revocation is broken."""
    known = (
        [] if log is None or not log.exists() else [json.loads(line) for line in log.read_text().splitlines()]
    )
    seed = seed or (known[0]["seed"] if known else f"{random.SystemRandom().getrandbits(32):08x}")
    out.print(f"seed {seed}")
    done = {each["index"] for each in known}
    total, broken = Counter[str](), 0
    with PostgresServer() as postgres:
        for index in range(first, first + -(-rounds // ROUNDS_PER_SYSTEM)):
            if index in done:
                continue
            directory = leftovers.make_directory(f"system{index}")
            store = postgres if index % 2 else None
            count, names = min(rounds, ROUNDS_PER_SYSTEM), frozenset(only or ())
            outcome = asyncio.run(run_system(directory, seed, index, store, count, without, names))
            total.update(outcome.counts)
            broken += bool(outcome.violations)
            _print(outcome)
            if log is not None:
                with log.open("a") as file:
                    file.write(json.dumps({"seed": seed} | asdict(outcome)) + "\n")
            if outcome.violations:
                out.print(f"  logs: {leftovers.keep(directory)}", style="red")
            else:
                shutil.rmtree(directory)
    out.print(f"{dict(total)}; {broken} systems broke a law")
    raise typer.Exit(1 if broken else 0)


def _print(outcome: Outcome) -> None:
    out.print(
        f"system {outcome.index}, {outcome.kind} on {outcome.store}: {outcome.rounds} rounds in "
        f"{outcome.seconds:.1f} s, slowest {outcome.slowest:.1f} s, {outcome.counts}"
    )
    for violation in outcome.violations[:20]:
        out.print(f"  broken: {violation}", style="red")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        typer.run(main)
