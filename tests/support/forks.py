"""`almond` in processes forked from one that has loaded it: loading takes a second, and tests start hundreds.

A process here differs from one that a person starts by what has been imported before, and by nothing else: it
has words, an environment, a directory, files and a number of its own. What a person starts is started as such
by the tests of README.md, of compose.yml, of workers and of a terminal.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

PROGRAMS: Final[dict[str, str]] = {"almond": "almond_client.cli", "unguarded": "faults.unguarded"}
"""What can be started: the module of each whose `main` is called."""

_LOADED: Final = (
    *("almond_client.cli.program", "almond_server.app", "almond_server.ops.bootstrap", *PROGRAMS.values()),
    *("pydantic.type_adapter", "alembic.command", "psycopg", "sqlalchemy.dialects.postgresql.psycopg"),
)
"""All that is loaded before there is a fork: the programs, and what they load when they need it."""

_TESTS: Final = Path(__file__).parents[1]
_MOST_BYTES: Final = 1 << 20
_STANDARD_FILES: Final = 3

# A program of a PATH: starts a fork by what it was started with, and ends as that did. It loads little.
_IN_PATH: Final = """\
#!{python} -IS
import array, json, os, socket, sys
way = socket.socket(socket.AF_UNIX)
way.connect({address!r})
words = ["almond", ["almond", *sys.argv[1:]], dict(os.environ), os.getcwd()]
files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
way.sendmsg([json.dumps(words).encode() + b"\\n"], files)
pid, code = way.makefile().read().split()
sys.exit(int(code))
"""


def on_path() -> dict[str, str]:
    """Return the variable by which a program of the tests' own finds them."""
    return {"PYTHONPATH": os.pathsep.join([str(_TESTS), os.environ.get("PYTHONPATH", "")])}


class Fork:
    """One forked process. What it answers is what `subprocess.Popen` does."""

    def __init__(self, way: socket.socket) -> None:
        self._way = way
        self._said = way.makefile("r")
        self.pid = int(self._said.readline())
        self._code: int | None = None
        self._is_read = threading.Lock()

    def poll(self) -> int | None:
        """Return how it ended: the exit code, or minus the signal. None while it lives."""
        with self._is_read:
            if self._code is None and select.select([self._way], [], [], 0)[0]:
                self._read()
            return self._code

    def wait(self, seconds: float | None = None) -> int:
        """Wait until it ends; raises `TimeoutExpired`."""
        if self._code is None and not select.select([self._way], [], [], seconds)[0]:
            raise subprocess.TimeoutExpired("almond", seconds or 0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self) -> None:
        self._code = int(self._said.readline())
        self._said.close()
        self._way.close()


def start(
    words: Sequence[str], files: Sequence[int], environment: dict[str, str], program: str = "almond"
) -> Fork:
    """Start a program with these words, these standard files, and nothing else in its environment."""
    way = socket.socket(socket.AF_UNIX)
    way.connect(_address())
    request = json.dumps([program, words, environment, str(Path.cwd())])
    socket.send_fds(way, [request.encode() + b"\n"], list(files))
    return Fork(way)


def put_into(directory: Path) -> None:
    """Write an `almond` for a PATH: what a shell starts by that name is forked."""
    program = directory / "almond"
    program.write_text(_IN_PATH.format(python=sys.executable, address=_address()))
    program.chmod(0o755)


@functools.cache
def _address() -> str:
    """Start the process to fork from, once; it ends with this one, whose end closes its input."""
    directory = tempfile.mkdtemp(prefix="almond-forks-")
    address = f"{directory}/socket"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "support.forks", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | on_path(),
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    atexit.register(_end, process, directory)
    return address


def _end(process: subprocess.Popen[bytes], directory: str) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(5)
    shutil.rmtree(directory, ignore_errors=True)


def _serve(address: str) -> Callable[[], Any]:
    """Fork for whoever asks, until the input is closed; in a fork, answers what to run there."""
    for module in _LOADED:
        importlib.import_module(module)
    gc.freeze()  # or each fork would copy all that is loaded when it ends, by looking whether it is garbage
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a fork has but the thread that forked"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait for forks are waited for by nobody
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
            way, _ = listener.accept()
            with way:
                if os.fork() == 0:
                    listener.close()
                    return _begin(way)
    sys.exit(0)


def _begin(way: socket.socket) -> Callable[[], Any]:
    """Fork once more; the first tells of the second's number and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, files = b"", list[int]()
    while not request.endswith(b"\n"):
        more, passed, _, _ = socket.recv_fds(way, _MOST_BYTES, _STANDARD_FILES)
        if not more:
            os._exit(1)  # whoever asked has gone
        request, files = request + more, files + passed
    program, words, environment, directory = json.loads(request)
    pid = os.fork()
    if pid:
        _tell(way, pid)
    way.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(_STANDARD_FILES, max(files) + 1)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    found: Callable[[], Any] = importlib.import_module(PROGRAMS[program]).main
    return found


def _tell(way: socket.socket, pid: int) -> NoReturn:
    # Else whoever reads what was passed would wait for this one too.
    os.closerange(0, way.fileno())
    os.closerange(way.fileno() + 1, 256)
    with contextlib.suppress(BrokenPipeError):  # whoever asked may have gone
        way.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        way.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _end_with(run: Callable[[], Any]) -> NoReturn:
    """End as a program does, but without taking apart what was loaded: that would copy all of it."""
    code = 0
    try:
        run()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:  # noqa: BLE001 - as a program does
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _end_with(_serve(sys.argv[1]))
