"""A worker as its parent holds it: the process, its last report, and its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from almond_server.process import listen
from almond_server.telemetry.status import Phase, Report, StatusRow
from almond_server.workers import messages
from almond_server.workers.decisions import WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from almond_server.config.settings import Settings


class WorkerProcess:
    """A running worker. Calls `on_change` when it begins to serve, sends a report, or ends."""

    def __init__(
        self,
        settings: Settings,
        number: int,
        environment: Mapping[str, str],
        on_change: Callable[[WorkerProcess], None],
    ) -> None:
        """Start the process, in the running loop. `environment` is added to this process's own."""
        self.number = number
        self.phase = Phase.STARTING
        self.is_outdated = False
        self.refusal: str | None = None
        """Why it could not start, as a sentence; None if the worker gave no reason."""

        self.exit_code: int | None = None
        """Its exit code; None while it runs, and until all its messages are read."""

        self._on_change = on_change
        self._report: Report | None = None
        self._since = time.monotonic()
        self._socket, theirs = messages.socket_pair()
        self._socket.setblocking(False)  # noqa: FBT003 - the socket's own method
        with theirs:
            # A fresh interpreter, not a fork: gRPC does not survive one. With -P no module of the working
            # directory can shadow one of ours.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", listen.WORKER_MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env=os.environ | environment,
                pass_fds=[theirs.fileno()],
                # Ctrl-C reaches the parent only, which then drains this process.
                start_new_session=True,
            )
        self.row = StatusRow(number, self._process.pid)
        messages.send(self._socket, messages.Order(number, settings))
        self._receiving = asyncio.create_task(self._receive_all())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def state(self) -> WorkerState:
        """Its state, for `decide`."""
        return WorkerState(self.pid, self.number, self.phase, self._since, self._report, self.is_outdated)

    def drain(self) -> None:
        """Ask it to finish its open calls and end (SIGTERM)."""
        self._enter(Phase.LEAVING)
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._enter(Phase.LEAVING)
        self._process.kill()

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._receiving

    async def _receive_all(self) -> None:
        loop = asyncio.get_running_loop()
        with self._socket:
            while message := await self._receive(loop):
                self._apply(messages.read_answer(message))
        self.exit_code = await asyncio.to_thread(self._process.wait)
        self._on_change(self)

    async def _receive(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._socket, messages.MAX_BYTES)
        # The worker was killed before it read its order.
        except ConnectionError:
            return b""

    def _apply(self, answer: messages.Ready | messages.Refused | Report) -> None:
        if isinstance(answer, Report):
            self._report = answer
            self.row.set(answer.knowledge, answer.why)
        elif isinstance(answer, messages.Refused):
            self.refusal = answer.sentence
        elif self.phase == Phase.STARTING:
            self._enter(Phase.SERVING)
        self._on_change(self)

    def _enter(self, phase: Phase) -> None:
        self.phase, self._since = phase, time.monotonic()
        if phase == Phase.LEAVING:
            self.row.set(phase)
