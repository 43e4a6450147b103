"""Runs `almond` as a process of its own: commands, `almond dev` and `almond serve` on free ports."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from support import forks, leftovers

ALMOND = str(Path(sys.executable).with_name("almond"))
_COMMANDS = {"almond": [ALMOND], "unguarded": [sys.executable, "-P", "-m", "faults.unguarded"]}
_READY = re.compile(r"Almond is ready on (\S+:\d+)\.")


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


class DevService:
    """Runs `almond dev` while its `with` block lasts.

    It is forked, unless `is_program`: then it is started as a person starts it.
    """

    def __init__(self, data_dir: Path, *, is_program: bool = False) -> None:
        self.data_dir = data_dir
        self.address = ""
        self.screen = ""
        self._is_program = is_program
        self._process: subprocess.Popen[bytes] | forks.Fork | None = None
        self._screen: IO[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        words = ["dev", "--data-dir", str(self.data_dir), "--address", "127.0.0.1:0"]
        ours, theirs = os.pipe()
        with (self.data_dir.parent / f"{self.data_dir.name}.log").open("a") as log:
            self._process = start(words, theirs, log.fileno(), {}, is_program=self._is_program)
        os.close(theirs)
        self._screen = os.fdopen(ours)
        for line in self._screen:
            self.screen += line
            ready = _READY.search(line)
            if ready:
                self.address = ready[1]
            if "tokens revoke" in line:
                return self
        raise RuntimeError(f"almond dev ended with {self._process.wait()} before it was ready")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send(self, number: int) -> None:
        """Send a signal and do not wait."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(30)
        if self._screen is not None:
            self._screen.close()
        return code

    def almond(self, *words: str, stdin: str = "", admin: bool = True) -> Ran:
        """Run one command of the command line against this service."""
        environment = clean_environment() | {"ALMOND_ADDRESS": self.address}
        if admin:
            environment["ALMOND_API_TOKEN"] = (self.data_dir / "admin.token").read_text().strip()
        return run(*words, stdin=stdin, environment=environment)


class ServeProcess:
    """Runs `almond serve` on what `almond init` made, while its `with` block lasts.

    It is forked, unless it has workers, which a real parent starts, or a library that fakes its clock, or
    another program that starts it.
    """

    _is_program = False

    def __init__(self, data_dir: Path, redis_url: str, *flags: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.log = data_dir.parent / f"{data_dir.name}-{secrets.token_hex(3)}.log"
        self._words = ["serve", "--data-dir", str(data_dir), "--address", "127.0.0.1:0"]
        self._words += ["--metrics-address", "127.0.0.1:0", *flags]
        self._before: list[str] = []
        self._environment = {"ALMOND_REDIS_URL": redis_url} | environment
        self._process: subprocess.Popen[bytes] | forks.Fork | None = None
        self.address = ""

    def __enter__(self) -> Self:
        is_program = (
            self._is_program
            or "--workers" in self._words
            or "LD_PRELOAD" in self._environment
            or bool(self._before)
        )
        with self.log.open("ab") as log, Path(os.devnull).open("w") as nowhere:
            files = nowhere.fileno(), log.fileno()
            self._process = start(self._words, *files, self._environment, self._before, is_program=is_program)
        try:
            self.address = self._started_at(self._process)
        except AssertionError:
            self._process.kill()
            raise
        return self

    def _started_at(self, process: subprocess.Popen[bytes] | forks.Fork) -> str:
        """Wait until the server has started; returns its address."""
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
            started = [line for line in self.log.read_text().splitlines() if "server.started" in line]
            if started:
                return f"127.0.0.1:{json.loads(started[-1])['port']}"

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(30) == 0, self.log.read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait(self) -> int:
        """Wait until it ends by itself; returns the exit code."""
        assert self._process is not None
        return self._process.wait(30)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the log with an event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Send a request to the HTTP port for probes and metrics; returns status and body."""
        port = self.logged("machine_port.opened")[-1]["port"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def workers(self) -> list[dict[str, Any]]:
        """Return the rows of /health."""
        rows: list[dict[str, Any]] = json.loads(self.ask("/health")[1])["workers"]
        return rows

    def almond(self, *words: str, token: str, stdin: str = "") -> Ran:
        """Run one command of the command line against this server."""
        environment = {"ALMOND_ADDRESS": self.address, "ALMOND_API_TOKEN": token}
        return run(*words, stdin=stdin, environment=environment)

    def eventually(self, good: Callable[[], object]) -> None:
        """Wait until a condition is true."""
        deadline = time.monotonic() + 30
        while not good():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def eventually_denies(self, *words: str, token: str, stdin: str) -> None:
        """Run a `verify` command until it denies."""
        deadline = time.monotonic() + 10
        while (ran := self.almond(*words, token=token, stdin=stdin)).code != 1:
            assert time.monotonic() < deadline, ran
            assert ran.code == 0, ran


class ServeProgram(ServeProcess):
    """`almond serve` started as a person starts it, for measurements."""

    _is_program = True


def run(*words: str, stdin: str = "", environment: dict[str, str] | None = None) -> Ran:
    """Run `almond` with these arguments in a fork, in a directory of its own, and wait until it ends."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(leftovers.temporary_directory("command"))
        (directory / "in").write_text(stdin)
        files = [stack.enter_context((directory / name).open("a+")) for name in ("in", "out", "err")]
        files[0].seek(0)
        numbers = [file.fileno() for file in files]
        # The search for a project file ends in this directory.
        (directory / ".git").touch()
        everything = clean_environment() | (environment or {})
        process = forks.start(["almond", *words], numbers, everything, directory=directory)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Ran(code, *((directory / name).read_text() for name in ("out", "err")))


def start(
    words: list[str],
    out: int,
    err: int,
    environment: dict[str, str],
    before: Sequence[str] = (),
    *,
    program: str = "almond",
    is_program: bool,
) -> subprocess.Popen[bytes] | forks.Fork:
    """Start one of `forks.PROGRAMS` without input: as a fork, or as a program by the command `before`."""
    everything = clean_environment() | environment
    with Path(os.devnull).open() as nothing:
        if is_program:
            command = [*before, *_COMMANDS[program], *words]
            process = subprocess.Popen(command, stdin=nothing, stdout=out, stderr=err, env=everything)
            leftovers.end_with_run(process.pid)
            return process
        return forks.start([program, *words], [nothing.fileno(), out, err], everything, program)


def clean_environment() -> dict[str, str]:
    """Return the environment without any setting of Almond, and without an HTTP port for probes."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMOND_")}
    return clean | {"ALMOND_METRICS_ADDRESS": ""}
