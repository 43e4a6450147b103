"""One server of a system under faults: its processes, its address, and its lines to Redis and the store."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TypeAlias

import grpc
import psutil

from almond.v1 import token_service_pb2_grpc
from faults.line import Line
from faults.processes import Processes
from faults.unguarded import WITHOUT
from support import forks
from support.ports import free_port

_CHANNELS_A_WORKER = 2
_CHANNEL_OPTIONS = (
    *((f"grpc.{name}_reconnect_backoff_ms", ms) for name, ms in (("initial", 50), ("min", 50), ("max", 200))),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),  # each channel has a connection of its own
)

Stub: TypeAlias = "token_service_pb2_grpc.TokenServiceAsyncStub"


class Node:
    """A server that can be killed, paused and started again, always on the same port."""

    def __init__(
        self,
        index: int,
        data_dir: Path,
        redis: Line,
        store: Line | None,
        *,
        workers: int,
        has_own_clock: bool,
    ) -> None:
        self.index = index
        self.data_dir = data_dir
        self.redis = redis
        self.store = store
        self.workers = workers
        self.log = data_dir.parent / f"node{index}.log"
        self.processes = Processes(self.log)
        self.has_own_clock = has_own_clock
        self.clock_file = data_dir.parent / f"clock{index}"
        self.address = f"127.0.0.1:{free_port()}"
        # The kernel distributes connections among workers: it takes several to reach all of them.
        count = 1 if workers == 1 else workers * _CHANNELS_A_WORKER
        self._channels = [
            grpc.aio.insecure_channel(self.address, options=_CHANNEL_OPTIONS) for _ in range(count)
        ]
        self.stubs: list[Stub] = [token_service_pb2_grpc.TokenServiceStub(each) for each in self._channels]
        self._next_stub = itertools.cycle(self.stubs)

    @property
    def stub(self) -> Stub:
        """The stub of the next connection, in turn."""
        return next(self._next_stub)

    def start(self, flags: list[str], without: str) -> None:
        """Start the process, with one of its guards taken out if `without` names one."""
        words = ["serve", "--data-dir", str(self.data_dir)]
        environment = {"ALMOND_REDIS_URL": self.redis.url, WITHOUT: without, "TMPDIR": str(self.log.parent)}
        if self.store is not None:
            environment["ALMOND_DATABASE_URL"] = self.store.url
        self.processes.start(
            [*words, "--address", self.address, "--workers", str(self.workers), *flags],
            self._clock() | forks.on_path() | environment,
            is_program=self.has_own_clock or self.workers > 1,
        )

    @property
    def is_whole(self) -> bool:
        """Whether it runs, with all its workers."""
        return self.processes.is_running and (
            self.workers == 1 or len(self.processes.workers) == self.workers
        )

    @property
    def relay(self) -> int | None:
        """The number of the worker that is the relay by the last lines of its log, or None.

        Without workers the number is 0.
        """
        raw = [line for line in self.log.read_text().splitlines() if "relay." in line or "server." in line]
        lines = [json.loads(line) for line in raw if line.startswith("{")]
        for number in {line.get("worker", 0) for line in lines}:
            events = [line.get("event", "") for line in lines if line.get("worker", 0) == number]
            if "relay.elected" in events[-3:]:
                return int(number)
        return None

    def worker(self, number: int) -> psutil.Process | None:
        """Return the worker that was last started under a number, if it lives."""
        started = [line for line in self.log.read_text().splitlines() if "worker.started" in line]
        pids = [line["pid"] for line in map(json.loads, started) if line["worker"] == number]
        return next((each for each in self.processes.workers if each.pid in pids[-1:]), None)

    def step_clock(self, seconds: int) -> None:
        """Set how far the server's wall clock differs from this machine's; not its monotonic clock."""
        self.clock_file.write_text(f"{seconds:+d}")

    async def close(self) -> None:
        self.processes.kill()
        for channel in self._channels:
            await channel.close()
        for line in (self.redis, self.store):
            if line is not None:
                line.close()

    def _clock(self) -> dict[str, str]:
        if not self.has_own_clock:
            return {}
        self.step_clock(0)
        return {
            "LD_PRELOAD": str(_libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "FAKETIME_CACHE_DURATION": "1",  # seconds; without it each reading of a clock reads the file
        }


def _libfaketime() -> Path:
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
