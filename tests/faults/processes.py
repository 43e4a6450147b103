"""The processes of one server: the parent that was started, and the workers that it started."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from pathlib import Path

import psutil

from e2e.service import start
from support import forks
from support.leftovers import is_alive


class Processes:
    """The processes of a server, from one start to the next. All write to `log`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._parent: subprocess.Popen[bytes] | forks.Fork | None = None
        self._orphans: list[psutil.Process] = []

    def start(self, words: list[str], environment: dict[str, str], *, is_program: bool) -> None:
        """Start `faults.unguarded`, as a program or as a fork of one that has loaded it."""
        with self._log.open("ab") as log:
            files = log.fileno(), log.fileno()
            self._parent = start(words, *files, environment, program="unguarded", is_program=is_program)

    @property
    def is_running(self) -> bool:
        return self._parent is not None and self._parent.poll() is None

    @property
    def workers(self) -> list[psutil.Process]:
        """The live workers; none if the server is a single process."""
        if self._parent is None or not self.is_running:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            return [each for each in psutil.Process(self._parent.pid).children() if is_alive(each)]
        return []

    @property
    def orphans(self) -> list[psutil.Process]:
        """Workers that outlived their parent."""
        self._orphans = [each for each in self._orphans if is_alive(each)]
        return self._orphans

    def kill_parent(self) -> None:
        """kill -9 of the parent alone, even if it is paused."""
        if self._parent is not None:
            self._orphans += self.workers
            self._parent.kill()
            self._parent.wait()

    def kill(self) -> None:
        """kill -9 of all of them; the parent is paused first, so that it cannot start others."""
        self._send_parent(signal.SIGSTOP)
        self.kill_parent()
        for each in self.orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(self._orphans, 10)

    def pause(self) -> None:
        self._send_parent(signal.SIGSTOP)
        for each in self.workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()

    def resume(self) -> None:
        for each in (*self.workers, *self.orphans):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.resume()
        self._send_parent(signal.SIGCONT)

    def roll(self) -> None:
        """Ask the parent to replace each worker by a new one."""
        self._send_parent(signal.SIGHUP)

    def limit_files(self, max_bytes: int) -> None:
        """Limit the size of every file that they write."""
        if self._parent is not None and self.is_running:
            limits = (max_bytes, psutil.RLIM_INFINITY)
            for pid in (self._parent.pid, *(each.pid for each in self.workers)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, limits)

    def _send_parent(self, number: int) -> None:
        if self._parent is not None and self.is_running:
            self._parent.send_signal(number)
