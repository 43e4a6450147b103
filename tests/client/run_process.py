"""Runs the command line as a process of its own, on the standard files that a test chooses."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from client.fake_service import FakeService
from client.run_cli import NOWHERE
from support import forks


@dataclass(frozen=True)
class Ran:
    """What a process wrote, and its exit code."""

    code: int
    out: str
    err: str


@contextmanager
def reader_that_has_gone() -> Iterator[int]:
    """Return the end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def run(
    service: FakeService | None,
    *words: str,
    stdin: bytes = b"",
    out: int | None = None,
    err: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run `almond WORDS` as a process, with other standard output and error if given."""
    with ExitStack() as stack:
        files = [stack.enter_context(Path(f"{name}.txt").open("wb+")) for name in ("in", "out", "err")]
        files[0].write(stdin)
        files[0].seek(0)
        numbers = [each.fileno() for each in files]
        numbers[1:] = [out or numbers[1], err or numbers[2]]
        address = NOWHERE if service is None else service.address
        process = forks.start(["almond", *words], numbers, {"ALMOND_ADDRESS": address, **(environment or {})})
        code = process.wait(30)
        return Ran(code, *(Path(f"{name}.txt").read_text(encoding="utf-8") for name in ("out", "err")))


def program(words: Sequence[str], files: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `almond WORDS` as a person does, in a shell: `files` is such as `>&-`."""
    script = "from almond_client.cli import main; main()"
    command = ["sh", "-c", f'exec "$0" "$@" {files}', sys.executable, "-c", script, *words]
    everything = os.environ | environment
    return subprocess.run(command, env=everything, capture_output=True, text=True, check=False)


def full() -> IO[bytes]:
    return Path("/dev/full").open("wb", buffering=0)
