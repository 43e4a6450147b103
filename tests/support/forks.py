"""Starts `almond` by forking a process that has loaded it: loading takes a second, and tests start hundreds.

A forked process differs from one that a person starts only by what it has imported already. It has arguments,
an environment, a working directory, files and a process id of its own. The tests of README.md, of
docker-compose.yml, of workers and of a terminal start real programs instead.
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
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from support import leftovers

PROGRAMS: Final[dict[str, str]] = {"almond": "almond_client.cli", "unguarded": "faults.unguarded"}
"""The programs that can be started, and the module of each; its `main` is called."""

_LOADED: Final = (
    *("almond_client.cli.program", "almond_server.app", "almond_server.ops.bootstrap", *PROGRAMS.values()),
    *("pydantic.type_adapter", "alembic.command", "psycopg", "sqlalchemy.dialects.postgresql.psycopg"),
)
"""The modules to load before the first fork: the programs, and what those import late."""

_TESTS: Final = Path(__file__).parents[1]
_MAX_BYTES: Final = 1 << 20
_STANDARD_FILES: Final = 3

# A program for a PATH: it starts a fork with its own arguments and files, and ends as that fork does.
_IN_PATH: Final = """\
#!{python} -IS
import array, json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
words = ["almond", ["almond", *sys.argv[1:]], dict(os.environ), os.getcwd()]
files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
connection.sendmsg([json.dumps(words).encode() + b"\\n"], files)
pid, code = connection.makefile().read().split()
sys.exit(int(code))
"""


def on_path() -> dict[str, str]:
    """Return the environment variable by which a program finds the modules of the tests."""
    return {"PYTHONPATH": os.pathsep.join([str(_TESTS), os.environ.get("PYTHONPATH", "")])}


class Fork:
    """A forked process, with the interface of `subprocess.Popen`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._replies = connection.makefile("r")
        self.pid = int(self._replies.readline())
        leftovers.end_with_run(self.pid)
        self._code: int | None = None
        self._is_read = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal that ended it; None while it runs."""
        with self._is_read:
            if self._code is None and select.select([self._connection], [], [], 0)[0]:
                self._read()
            return self._code

    def wait(self, seconds: float | None = None) -> int:
        """Wait until it ends; raises `TimeoutExpired`."""
        if self._code is None and not select.select([self._connection], [], [], seconds)[0]:
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
        self._code = int(self._replies.readline())
        self._replies.close()
        self._connection.close()


def start(
    words: Sequence[str],
    files: Sequence[int],
    environment: dict[str, str],
    program: str = "almond",
    directory: Path | None = None,
) -> Fork:
    """Start a program with these arguments, these standard files and exactly this environment.

    Its working directory is `directory`, or else this process's.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_address())
    request = json.dumps([program, words, environment, str(directory or Path.cwd())])
    socket.send_fds(connection, [request.encode() + b"\n"], list(files))
    return Fork(connection)


def put_into(directory: Path) -> None:
    """Write a program `almond` for a PATH: a shell that starts it gets a fork."""
    program = directory / "almond"
    program.write_text(_IN_PATH.format(python=sys.executable, address=_address()))
    program.chmod(0o755)


@functools.cache
def _address() -> str:
    """Start the process to fork from, once; it ends when this process ends, which closes its input."""
    address = str(leftovers.make_directory("forks") / "socket")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "support.forks", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | on_path(),
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    atexit.register(_end, process)
    return address


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(5)


def _serve(address: str) -> Callable[[], Any]:
    """Fork for each connection until the input is closed; in a fork, returns what to run there."""
    for module in _LOADED:
        importlib.import_module(module)
    gc.freeze()  # or the garbage collector of each fork would copy all that is loaded
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a fork has only the thread that forked"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process waits for the ones that wait for forks
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    return _begin(connection)
    sys.exit(0)


def _begin(connection: socket.socket) -> Callable[[], Any]:
    """Fork once more; the first process reports the process id and the end of the second."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, files = b"", list[int]()
    while not request.endswith(b"\n"):
        more, passed, _, _ = socket.recv_fds(connection, _MAX_BYTES, _STANDARD_FILES)
        if not more:
            os._exit(1)  # the client has ended
        request, files = request + more, files + passed
    program, words, environment, directory = json.loads(request)
    pid = os.fork()
    if pid:
        _report(connection, pid)
    connection.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(_STANDARD_FILES, max(files) + 1)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    found: Callable[[], Any] = importlib.import_module(PROGRAMS[program]).main
    return found


def _report(connection: socket.socket, pid: int) -> NoReturn:
    # Else the reader of the passed files would wait for this process too.
    os.closerange(0, connection.fileno())
    os.closerange(connection.fileno() + 1, 256)
    with contextlib.suppress(BrokenPipeError):  # the client may have ended
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _end_with(run: Callable[[], Any]) -> NoReturn:
    """Run and exit as a program does, but without freeing what was loaded: that would copy all of it."""
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
