"""A worker process: serves on a port that it shares with other workers. Its parent is `supervisor`.

Started as `python -m almond_server.workers.worker FD`, where FD is its end of a socket (`messages`). When the
socket closes, the parent has ended, and the worker drains and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from almond_server import app
from almond_server.errors import RefusedError, StartError, for_operators
from almond_server.process import serve
from almond_server.telemetry import logs
from almond_server.telemetry.status import REPORT_SECONDS
from almond_server.workers import messages

if TYPE_CHECKING:
    from almond_server.app import App

_EXIT_REFUSED: Final = 2
_AFTER_GRACE_SECONDS: Final = 5.0


def main(parent: socket.socket) -> int:
    """Serve until SIGTERM, or until the parent ends; return the exit code."""
    parent.set_inheritable(False)
    order = messages.read_order(parent.recv(messages.MAX_BYTES))
    grace = order.settings.grace
    threading.Thread(target=_end_with_parent, args=(parent, grace), daemon=True).start()
    logs.configure(order.settings.log_level, worker=order.number)
    if order.number == 1:
        app.warn_of_plaintext(order.settings)

    async def report(running: App) -> None:
        while True:
            messages.send(parent, running.report())
            await asyncio.sleep(REPORT_SECONDS)

    def ready(_port: int) -> None:
        messages.send(parent, messages.Ready())

    try:
        asyncio.run(serve.run(order.settings, ready, report))
    except (StartError, RefusedError) as error:
        messages.send(parent, messages.Refused(for_operators(error)))
        return _EXIT_REFUSED
    return 0


def _end_with_parent(parent: socket.socket, grace: float) -> None:
    # In a thread, so that a worker whose event loop hangs ends with its parent too.
    with contextlib.suppress(OSError):
        parent.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace + _AFTER_GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(socket.socket(fileno=int(sys.argv[1]))))
