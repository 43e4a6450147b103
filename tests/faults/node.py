"""One server of a system under faults: a process, its address, and its own ways to Redis and to the store."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import psutil

from almond.v1 import token_service_pb2_grpc
from e2e.service import clean_environment
from faults.proxy import FaultProxy

UNGUARDED = Path(__file__).with_name("unguarded.py")
_RECONNECTING = tuple(
    (f"grpc.{name}_reconnect_backoff_ms", value)
    for name, value in (("initial", 50), ("min", 50), ("max", 200))
)


class Node:
    """A server that can be killed, paused and started again, always on the same port."""

    def __init__(
        self, index: int, data_dir: Path, redis: FaultProxy, store: FaultProxy | None, *, has_own_clock: bool
    ) -> None:
        self.index = index
        self.data_dir = data_dir
        self.redis = redis
        self.store = store
        self.life = 0
        self.log = data_dir.parent / f"node{index}.log"
        self.has_own_clock = has_own_clock
        self.clock_file = data_dir.parent / f"clock{index}"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None
        self.channel = grpc.aio.insecure_channel(
            self.address, options=(*_RECONNECTING, ("grpc.enable_retries", 0))
        )
        self.stub: token_service_pb2_grpc.TokenServiceAsyncStub = token_service_pb2_grpc.TokenServiceStub(
            self.channel
        )

    def start(self, environment: dict[str, str], flags: list[str], without: str) -> None:
        """Start the process, with one of its guards taken out if `without` names one."""
        self.life += 1
        command = [sys.executable, str(UNGUARDED), without, "serve", "--data-dir", str(self.data_dir)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--address", self.address, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment() | self._clock() | environment,
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_relay(self) -> bool:
        """Whether it is the last thing it said of itself that it is the relay."""
        said = [line for line in self.log.read_text().splitlines() if "relay." in line or "server." in line]
        events = [json.loads(line).get("event", "") for line in said if line.startswith("{")]
        return "relay.elected" in events[-3:]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def step_clock(self, seconds: int) -> None:
        """Let the wall clock of the server differ from this machine's; not its monotonic one."""
        self.clock_file.write_text(f"{seconds:+d}")

    def limit_files(self, max_bytes: int) -> None:
        """Let no file of the server grow beyond this: what a full disk does to it."""
        if self._process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                limits = (max_bytes, psutil.RLIM_INFINITY)
                psutil.Process(self._process.pid).rlimit(psutil.RLIMIT_FSIZE, limits)

    async def close(self) -> None:
        self.resume()
        self.kill()
        await self.channel.close()
        for proxy in (self.redis, self.store):
            if proxy is not None:
                proxy.close()

    def _clock(self) -> dict[str, str]:
        if not self.has_own_clock:
            return {}
        self.step_clock(0)
        return {
            "LD_PRELOAD": str(_libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "FAKETIME_CACHE_DURATION": "1",  # seconds; without, each look at a clock costs a look at the file
        }

    def _send(self, number: int) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)


def _libfaketime() -> Path:
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
