"""Measures a thousand watchers of one server during a hundred revocations a second.

    PYTHONPATH=tests .venv/bin/python tests/bench/watchers.py [WATCHERS [A_SECOND [SECONDS]]]

Processes: the server, Valkey, one that revokes, and two with half of the watchers each, every one on a
connection of its own. Each watcher checks that it gets every change, once and in order. The time of arrival
counts from the acknowledgement of the Revoke, on the monotonic clock of the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Final

import grpc
import psutil
from rich.console import Console
from rich.table import Table

from almond.v1 import revocation_service_pb2, token_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from almond_client import AsyncClient, channel
from almond_server.ops.valkey_child import ValkeyChild
from e2e.service import ServeProgram, run
from support.orders import deploy
from support.service import bearer

_PROCESSES: Final = 2
_AT_ONCE: Final = 50
_IN_FLIGHT: Final = 100
_NOW: Final = revocation_service_pb2.WatchRevocationsRequest(from_now=revocation_service_pb2.FromNow())


class Watcher:
    """A watcher that uses the client library, and notes when each change arrived."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.first = self.last = 0
        self.arrivals = array("d")
        self.oldest = 0.0

    async def run(self, address: str, admin: str, begin: asyncio.Semaphore) -> None:
        async with AsyncClient(address, admin) as client:
            watch = client.watch(_NOW)
            await begin.acquire()
            async for event in watch:
                if isinstance(event, revocation_service_pb2.WatchStarted):
                    self.first = self.last = _number(event.revision)
                    begin.release()
                elif isinstance(event, revocation_service_pb2.RevocationChange):
                    self.arrivals.append(time.monotonic())
                    self.last += 1
                    if _number(event.revision) != self.last:
                        sys.exit(f"{event.revision} came instead of {self.last}")
                elif isinstance(event, revocation_service_pb2.Heartbeat):
                    self.oldest = max(self.oldest, watch.age())
                    self.begun.set()


async def watch(address: str, count: int) -> None:
    """Run `count` watchers; reads the token, then the last revision, from stdin; prints the arrivals."""
    admin = sys.stdin.readline().strip()
    # Without it, all channels of a process share one connection.
    vars(channel)["OPTIONS"] = (*channel.OPTIONS, ("grpc.use_local_subchannel_pool", 1))
    watchers = [Watcher() for _ in range(count)]
    begin = asyncio.Semaphore(_AT_ONCE)
    tasks = [asyncio.create_task(each.run(address, admin, begin)) for each in watchers]
    await asyncio.gather(*(each.begun.wait() for each in watchers))
    print("ready", flush=True)
    last = int(await asyncio.to_thread(sys.stdin.readline))
    deadline = time.monotonic() + 60
    while any(each.last < last for each in watchers):
        if time.monotonic() > deadline:
            sys.exit(f"{sum(each.last < last for each in watchers)} watchers miss changes")
        await asyncio.sleep(0.1)
    for each in watchers:
        print(json.dumps([each.first, each.oldest, each.arrivals.tolist()]), flush=True)
    sys.stdout.flush()
    # Not by closing the channels: each close iterates over all tasks of the process.
    os._exit(int(any(task.done() for task in tasks)))


async def revoke(address: str, admin: str, a_second: int, seconds: int) -> list[tuple[int, float, float]]:
    """Revoke at a steady rate; returns revision, time of acknowledgement and duration of each."""
    async with grpc.aio.insecure_channel(address) as line:
        stub = token_service_pb2_grpc.TokenServiceStub(line)
        as_admin = bearer(admin)
        made = [
            (await stub.Mint(deploy("web"), metadata=as_admin)).record.id for _ in range(a_second * seconds)
        ]
        done: list[tuple[int, float, float]] = []

        # More would wait in gRPC, which cancels a call that is not started within half a minute.
        room = asyncio.Semaphore(_IN_FLIGHT)

        async def one(token_id: str) -> None:
            began = time.monotonic()
            answer = await stub.Revoke(pb.RevokeRequest(token_id=token_id), metadata=as_admin)
            now = time.monotonic()
            done.append((_number(answer.revision), now, now - began))
            room.release()

        print("minted", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began = time.monotonic()
        tasks = []
        for index, token_id in enumerate(made):
            await asyncio.sleep(max(0.0, began + index / a_second - time.monotonic()))
            await room.acquire()
            tasks.append(asyncio.create_task(one(token_id)))
        await asyncio.gather(*tasks)
        return done


def measure(watchers: int, a_second: int, seconds: int, out: Console) -> None:
    """Run all processes and print a table."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary) / "data"
        directory.mkdir()
        made = run("init", "--data-dir", str(directory))
        if made.code:
            sys.exit(made.err)
        admin = (directory / "admin.token").read_text().strip()
        with ValkeyChild(directory) as valkey, ServeProgram(directory, valkey.url) as server:
            assert server._process is not None
            process = psutil.Process(server._process.pid)
            writer = _role("revoke", server.address, str(a_second), str(seconds))
            _tell(writer, admin)
            _expect(writer, "minted")
            memory = [_mebibytes(process)]
            readers = [_role("watch", server.address, str(watchers // _PROCESSES)) for _ in range(_PROCESSES)]
            for reader in readers:
                _tell(reader, admin)
            for reader in readers:
                _expect(reader, "ready")
            memory.append(_mebibytes(process))
            clients = [psutil.Process(each.pid) for each in (*readers, writer)]
            before = _cpu([process]), _cpu(clients)
            _tell(writer, "go")
            peak = 0.0
            while writer.poll() is None and not _has_line(writer):
                peak = max(peak, _mebibytes(process))
                time.sleep(0.1)
            after = _cpu([process]), _cpu(clients)
            done = json.loads(_line(writer))
            last = max(number for number, _, _ in done)
            for reader in readers:
                _tell(reader, str(last))
            results = [json.loads(_line(reader)) for reader in readers for _ in range(watchers // _PROCESSES)]
            for each in (*readers, writer):
                each.wait(60)
            memory += [peak, _mebibytes(process)]
            spans = [
                arrivals[number - first - 1] - at for first, _, arrivals in results for number, at, _ in done
            ]
            assert all(len(arrivals) == last - first for first, _, arrivals in results)
    table = Table("", "value", title=f"{watchers} watchers, {len(done)} revocations in {seconds} s")
    table.add_row("arrivals", str(len(spans)))
    took = max(at for _, at, _ in done) - min(at for _, at, _ in done)
    table.add_row("revocations a second, wanted and made", f"{a_second}, {len(done) / took:.0f}")
    table.add_row("arrival after the acknowledgement, ms: p50, p99, max", _cuts(spans))
    table.add_row("Revoke itself, ms: p50, p99, max", _cuts([span for _, _, span in done]))
    table.add_row("greatest age at a heartbeat, s", f"{max(oldest for _, oldest, _ in results):.2f}")
    used = [(late - early) / took for late, early in zip(after, before, strict=True)]
    table.add_row("CPU, cores: server, its clients", f"{used[0]:.2f}, {used[1]:.2f}")
    table.add_row(
        "server's RSS, MiB: before, with idle watchers, most, after",
        ", ".join(f"{each:.0f}" for each in memory),
    )
    out.print(table)


def _role(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _expect(process: subprocess.Popen[str], word: str) -> None:
    line = _line(process).strip()
    if line != word:
        sys.exit(f"{line!r} came instead of {word!r}")


def _has_line(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    import select

    return bool(select.select([process.stdout], [], [], 0)[0])


def _number(revision: str) -> int:
    return int(revision.partition(".")[2])


def _mebibytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _cuts(spans: list[float]) -> str:
    cuts = statistics.quantiles(spans, n=100, method="inclusive")
    return ", ".join(f"{1000 * span:.0f}" for span in (cuts[49], cuts[98], max(spans)))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    role, *words = sys.argv[1:] or ["1000"]
    if role == "watch":
        asyncio.run(watch(words[0], int(words[1])))
    elif role == "revoke":
        admin = sys.stdin.readline().strip()
        print(json.dumps(asyncio.run(revoke(words[0], admin, int(words[1]), int(words[2])))), flush=True)
    else:
        sizes = [int(each) for each in (role, *words)]
        watchers, a_second, seconds = (sizes + [1000, 100, 20][len(sizes) :])[:3]
        measure(watchers, a_second, seconds, Console(width=120))


if __name__ == "__main__":
    main()
