"""Measures the revocation view at a size: memory, look-ups, a start, and how long the loop is blocked.

    .venv/bin/python tests/bench/view_size.py [SIZE ...]

Each size is measured in processes of its own: one grows a view through changes, times look-ups, publishes a
snapshot to a real Valkey and sweeps everything; another one starts from that snapshot. Memory is what the
process has gained. Figures in brackets are CPU time: on a machine with other work, the time by the clock
contains that work too.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script, it finds the module in its own folder

from almond_server.ops.valkey_child import ValkeyChild
from bench import view_measures

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES: Final = (100_000, 1_000_000)


def run(work: str, size: int, url: str) -> dict[str, Any]:
    """Run a measurement in a process of its own; prints its log."""
    command = [sys.executable, __file__, work, str(size), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            print(last, end="")
            last = line
    if process.returncode:
        raise SystemExit(process.returncode)
    return dict(json.loads(last))


def rows(it: dict[str, Any]) -> dict[str, str]:
    """Return the figures of one size with their names."""

    def look_up(name: str, what: str = "table") -> str:
        taken, plain = it[f"{what}_{name}"], it[f"set_{name}"]
        return f"{taken:.0f} / {plain:.0f} = {taken / plain:.2f}"

    def pair(name: str) -> str:
        return "{:.1f} ({:.1f})".format(*it[name])

    def stops(name: str) -> str:
        return "{:.1f} ({:.1f}); {} of {:,}".format(*it[name])

    return {
        "bytes an entry, grown through changes": f"{it['bytes']:.1f}",
        "the same as the view counts it": f"{it['counted_bytes']:.1f}",
        "bytes an entry, started from the snapshot": f"{it['start_bytes']:.1f}",
        "look-up of a live id / in a set, ns": look_up("live"),
        "look-up of a revoked id / in a set, ns": look_up("revoked"),
        "standing() of a live token / id in a set, ns": look_up("live", "standing"),
        "standing() of a revoked token / id in a set, ns": look_up("revoked", "standing"),
        "decide() / with 1,000 entries, us": f"{it['verify_us']:.1f} / {it['verify_base_us']:.1f} = "
        f"{it['verify_us'] / it['verify_base_us']:.3f}",
        "start from the snapshot, s": pair("start_seconds"),
        "longest stop, ms, and how many of over 5: starting": stops("starting"),
        "growing": stops("growing"),
        "sweeping": stops("sweeping"),
        "taking all again": stops("again"),
        "a full garbage collection": stops("collecting"),
        "a plain loop without memory, as long as growing": stops("idle"),
        "one that touches as much new memory": stops("fresh"),
    }


def main(sizes: Sequence[int]) -> None:
    """Measure all sizes and print a table."""
    table = Table("", title="The revocation view")
    columns = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as temporary, ValkeyChild(Path(temporary)) as valkey:
            columns.append(rows(run("growth", size, valkey.url) | run("start", size, valkey.url)))
        table.add_column(f"{size:,}", justify="right")
    for name in columns[0]:
        table.add_row(name, *(each[name] for each in columns))
    Console(width=max(100, 46 + 24 * len(sizes))).print(table)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["growth" | "start" as work, count, url]:
            print(json.dumps(asyncio.run(getattr(view_measures, work)(int(count), url))))
        case given:
            main([int(each) for each in given] or SIZES)
