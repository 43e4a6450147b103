"""Ends the servers of a test run and removes its directories, however the run ends.

A run is a process that runs tests or the fault checker.

Rules:
* A run starts one cleaner, a process with a session of its own, so that Ctrl-C does not reach it.
* The run sends the cleaner each server that it starts and each directory that it makes.
* The kernel closes the cleaner's input when the run ends, even by SIGKILL. The cleaner then kills the servers
  that are left, with their children, and removes the directories that are left.
* A directory's name contains the process id of its run. Each cleaner first removes the directories of runs
  that no longer live: their cleaners were killed too.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

# Not TMPDIR: the other user that runs initdb may not read it, and every run has to find the same place.
_PARENT: Final = Path("/tmp")  # noqa: S108 - `mkdtemp` chooses the names
_NAME: Final = re.compile(r"almond-run-(\d+)-.*")
_SECONDS: Final = 10.0

_one_at_a_time: Final = threading.Lock()


def end_with_run(pid: int) -> None:
    """Have a process and its children killed when this run ends."""
    _send("process", pid)


def make_directory(name: str) -> Path:
    """Make a directory that is removed when this run ends."""
    directory = tempfile.mkdtemp(prefix=f"almond-run-{os.getpid()}-{name}-", dir=_PARENT)
    _send("directory", directory)
    return Path(directory)


@contextlib.contextmanager
def temporary_directory(name: str) -> Iterator[Path]:
    """Make a directory that is removed at the end of the `with` block, or when this run ends."""
    directory = make_directory(name)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def keep(directory: Path) -> Path:
    """Move a directory to where no cleaner removes it; returns its new path."""
    return directory.rename(tempfile.mkdtemp(prefix="almond-kept-", dir=_PARENT))


def _send(kind: str, value: int | str) -> None:
    with _one_at_a_time:
        stdin = _cleaner().stdin
        assert stdin is not None
        stdin.write(json.dumps([kind, value]).encode() + b"\n")


@functools.cache
def _cleaner() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-P", __file__], stdin=subprocess.PIPE, bufsize=0, cwd="/", start_new_session=True
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(2 * _SECONDS)


def _clean() -> None:
    """Clean up after earlier runs now, and after this one when the input is closed."""
    for path in _PARENT.glob("almond-run-*"):
        name = _NAME.fullmatch(path.name)
        if name is not None and not psutil.pid_exists(int(name[1])):
            shutil.rmtree(path, ignore_errors=True)
    servers, directories = list[psutil.Process](), list[str]()
    for line in sys.stdin:
        kind, value = json.loads(line)
        if kind == "directory":
            directories.append(value)
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            servers.append(psutil.Process(value))
    _kill(servers)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def _kill(servers: list[psutil.Process]) -> None:
    killed = []
    for server in servers:
        # `is_running` is false if another process has the id of a server that has ended.
        with contextlib.suppress(psutil.NoSuchProcess):
            if server.is_running():
                killed += [server, *server.children(recursive=True)]
    for each in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    deadline = time.monotonic() + _SECONDS
    while any(map(is_alive, killed)) and time.monotonic() < deadline:
        time.sleep(0.01)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process can still do something: a zombie only waits for its parent to read its end."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    _clean()
