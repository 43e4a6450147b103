"""Measures Verify calls a second by number of workers: `python tests/bench/workers.py [WORKERS ...]`.

Four client processes have one connection each and 16 calls under way. On a machine whose cores they share
with the workers, they take as much CPU time as those.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from almond.v1 import access_pb2
from almond_client import AsyncClient
from almond_server.ops.valkey_child import ValkeyChild
from e2e.service import ServeProcess, run

_CLIENTS = 4
_AT_ONCE = 16
_SECONDS = 8.0


def main(counts: list[int]) -> None:
    """Measure with each number of workers."""
    with tempfile.TemporaryDirectory() as directory:
        data_dir = Path(directory) / "data"
        assert run("init", "--data-dir", str(data_dir)).code == 0
        token = (data_dir / "admin.token").read_text().strip()
        with ValkeyChild(data_dir) as valkey:
            for count in counts:
                with ServeProcess(data_dir, valkey.url, "--workers", str(count)) as service:
                    print(f"{count} workers: {_rate(service.address, token):.0f} Verify calls a second")


def _rate(address: str, token: str) -> float:
    context = multiprocessing.get_context("spawn")
    with context.Pool(_CLIENTS) as clients:
        return sum(clients.starmap(_calls, [(address, token)] * _CLIENTS)) / _SECONDS


def _calls(address: str, token: str) -> int:
    return asyncio.run(_ask(address, token))


async def _ask(address: str, token: str) -> int:
    access, done = access_pb2.Access(org="acme", app="web", actions="r"), 0
    async with AsyncClient(address, token) as client:
        await client.is_allowed(token, access)
        end = time.monotonic() + _SECONDS

        async def ask() -> None:
            nonlocal done
            while time.monotonic() < end:
                await client.is_allowed(token, access, timeout_seconds=10)
                done += 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(ask())
    return done


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 2])
