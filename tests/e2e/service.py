"""`almond dev` as a process of its own, on a free port, for the demo and the end-to-end tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ALMOND = str(Path(sys.executable).with_name("almond"))
_READY = re.compile(r"Almond is ready on (\S+:\d+)\.")


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


class DevService:
    """Runs `almond dev` on entering; stops it by its process id on leaving."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.address = ""
        self.screen = ""
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        with (self.data_dir.parent / f"{self.data_dir.name}.log").open("a") as log:
            self._process = subprocess.Popen(
                [ALMOND, "dev", "--data-dir", str(self.data_dir), "--address", "127.0.0.1:0"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=clean_environment() | self._environment,
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
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
        """Send the signal and wait for the end; answers the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def almond(self, *words: str, stdin: str = "", admin: bool = True) -> Ran:
        """Run one command of the command line against this service."""
        environment = clean_environment() | {"ALMOND_ADDRESS": self.address}
        if admin:
            environment["ALMOND_API_TOKEN"] = (self.data_dir / "admin.token").read_text().strip()
        return run(*words, stdin=stdin, environment=environment)


def run(*words: str, stdin: str = "", environment: dict[str, str] | None = None) -> Ran:
    """Run `almond` with these words."""
    done = subprocess.run(
        [ALMOND, *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment() if environment is None else environment,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def clean_environment() -> dict[str, str]:
    """The environment without anything of Almond's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ALMOND_")}
