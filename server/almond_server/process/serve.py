"""Serves gRPC in this process: from the first read of the store to the end of the last call."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import REGISTRY

from almond_server.app import compose, warn_of_plaintext
from almond_server.data_dir import rescue_file
from almond_server.errors import StartError
from almond_server.process import http_port
from almond_server.process.listen import check_free
from almond_server.telemetry.status import REPORT_SECONDS, Phase, StatusRow

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from almond_server.app import App, Background
    from almond_server.config.settings import Settings

_DRAIN_SECONDS: Final = 0.2
_SWITCH_SECONDS: Final = 0.0005
"""The longest that a store thread waits for the interpreter while the event loop is busy.

Each SQL statement waits several times: with Python's default of 5 ms, a Revoke with a thousand watchers took
four times as long.
"""

log = structlog.get_logger()


async def serve(settings: Settings, ready: Callable[[int], None]) -> None:
    """Serve as the only process on the address, with the HTTP port beside it. Raises `StartError`."""
    check_free(settings.address)
    warn_of_plaintext(settings)
    row = StatusRow()

    def started(port: int) -> None:
        log.info("server.started", address=settings.address, port=port)
        ready(port)

    async def background(app: App) -> None:
        while True:
            report = app.report()
            row.set(report.knowledge, report.why)
            await asyncio.sleep(REPORT_SECONDS)

    async with http_port.opened(settings.metrics_address, lambda: [row.as_dict()], REGISTRY):
        await run(settings, started, background, lambda: row.set(Phase.LEAVING))


async def run(
    settings: Settings,
    ready: Callable[[int], None],
    background: Background,
    on_drain: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then drain: NOT_SERVING, grace, stop.

    `ready` is called once, with the port, when the server can answer. `background` runs from then until the
    end. `on_drain` is called when draining begins. Raises `StartError` if the server cannot start, or cannot
    go on following revocations.
    """
    rescue_file.require_none(settings.data_dir)
    app = await compose(settings)
    # All objects that exist now stay for good. Freezing them spares the garbage collector scanning them: each
    # scan of the view's table alone would delay calls by tens of milliseconds.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # `nohup` ignores SIGHUP.
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        await app.follower.start()
        port = _bind(app.server, settings.address)
        await app.server.start()
        running = asyncio.create_task(app.run(background))
        running.add_done_callback(lambda _: stopping.set())
        ready(port)
        await stopping.wait()
        on_drain()
        await _stop(app, settings.grace)
        failed = running.done() and not running.cancelled() and running.exception() is not None
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        if failed:
            raise StartError(
                "The server stopped, as it could not go on following revocations. Start it again."
            )
    finally:
        await app.close()


async def _stop(app: App, grace: float) -> None:
    log.info("server.draining", grace_seconds=grace)
    app.health.leave()
    # Load balancers see NOT_SERVING before calls are refused.
    await asyncio.sleep(_DRAIN_SECONDS)
    app.watches.leave()
    await app.server.stop(grace)
    log.info("server.stopped")


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        # This raises with the name of a process that has just taken the port.
        check_free(address)
        raise StartError(f"Cannot listen on {address}.") from None
