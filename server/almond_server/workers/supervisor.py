"""The parent of several workers: starts, watches, replaces and drains them. It serves no calls itself.

`decisions` decides what to do; this module does it. It must not import gRPC: a parent has no use for
what gRPC starts in a process, and only has to outlive its workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from almond_server.data_dir import rescue_file
from almond_server.errors import StartError
from almond_server.process import http_port
from almond_server.process.listen import reserved_port
from almond_server.telemetry.status import Knowledge, Phase
from almond_server.workers.child_process import WorkerProcess
from almond_server.workers.decisions import SILENT, STALE, Action, ActionKind, RestartBudget, Rules, decide
from almond_server.workers.metrics import WorkerMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from almond_server.config.settings import Settings

_INTERVAL_SECONDS: Final = 0.1
_DELAYED_SECONDS: Final = 1.0
_AFTER_GRACE_SECONDS: Final = 5.0
_REFUSED_PAUSE_SECONDS: Final = 10.0
_METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

_TOO_MANY: Final = (
    "More than 5 workers died within a minute; the log says how (worker.died). If they ran out of memory, "
    "start fewer --workers: each holds all revocations in its own memory."
)
_ALARM: Final = (
    "A worker found that the store went backwards or was exchanged, so no new worker is started: follow "
    "ops/RESTORE.md, then start again."
)

log = structlog.get_logger()


async def serve(settings: Settings, ready: Callable[[int], None]) -> None:
    """Serve with `settings.workers` processes until SIGTERM or SIGINT, then drain them.

    `ready` is called once, with the port, when all workers serve. SIGHUP replaces the workers one after the
    other. Raises `StartError` if the workers cannot start, or die too often.
    """
    if sys.platform != "linux":
        raise StartError("--workers: more than 1 needs Linux, which spreads connections over processes.")
    rescue_file.require_none(settings.data_dir)
    with (
        reserved_port(settings.address) as port,
        tempfile.TemporaryDirectory(prefix="almond-metrics-") as metrics_dir,
    ):
        host = settings.address.rpartition(":")[0]
        supervisor = Supervisor(replace(settings, address=f"{host}:{port}"), metrics_dir)

        def started() -> None:
            log.info("server.started", address=settings.address, port=port, workers=settings.workers)
            ready(port)

        await supervisor.run(started)


class Supervisor:
    """Runs all workers of one address."""

    def __init__(self, settings: Settings, metrics_dir: str) -> None:
        """`settings` name a reserved port; `metrics_dir` is a private, empty directory for the workers."""
        self._settings = settings
        self._environment = {_METRICS_VARIABLE: metrics_dir}
        self._rules = Rules(settings.workers, settings.max_staleness, settings.grace + _AFTER_GRACE_SECONDS)
        self._workers: list[WorkerProcess] = []
        self._metrics = WorkerMetrics(metrics_dir)
        self._restarts = RestartBudget()
        self._not_before: dict[int, float] = {}
        self._is_ready = self._is_stopping = self._is_alarmed = False
        self._failure: str | None = None
        self._changed = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Start and watch the workers until a signal, then drain them; raises `StartError` if they fail."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._roll)
        async with http_port.opened(
            self._settings.metrics_address, self._status_rows, self._metrics.registry
        ):
            try:
                await self._supervise(ready)
            finally:
                await self._drain()
        if self._failure is not None:
            raise StartError(self._failure)

    def _status_rows(self) -> list[dict[str, object]]:
        return [each.row.as_dict() for each in sorted(self._workers, key=lambda each: each.number)]

    async def _supervise(self, ready: Callable[[], None]) -> None:
        last_tick_at = time.monotonic()
        while not self._is_stopping and self._failure is None:
            now = time.monotonic()
            # If this process itself was delayed, it has not read the reports sent meanwhile: read first.
            if now - last_tick_at < _DELAYED_SECONDS:
                self._tick(now)
            last_tick_at = now
            if not self._is_ready and self._all_serve():
                self._is_ready = True
                ready()
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_SECONDS):
                    await self._changed.wait()

    def _tick(self, now: float) -> None:
        states = [each.state for each in self._workers]
        self._is_alarmed |= any(
            each.report is not None and each.report.knowledge == Knowledge.ALARMED for each in states
        )
        actions = decide(states, self._rules, now, not_before=self._not_before, is_alarmed=self._is_alarmed)
        for action in actions:
            self._perform(action)
        if self._is_alarmed and not self._workers:
            self._failure = _ALARM

    def _perform(self, action: Action) -> None:
        if action.kind == ActionKind.START:
            started = WorkerProcess(self._settings, action.number, self._environment, self._on_change)
            self._workers.append(started)
            log.info("worker.started", worker=action.number, pid=started.pid)
            return
        worker = next(each for each in self._workers if each.pid == action.pid)
        is_unhealthy = action.why in {STALE, SILENT}
        log_dismissal = log.warning if is_unhealthy else log.info
        log_dismissal("worker.dismissed", worker=action.number, pid=action.pid, why=action.why)
        if is_unhealthy:
            self._metrics.replaced.inc()
        if action.kind == ActionKind.DRAIN:
            worker.drain()
        else:
            worker.kill()

    def _all_serve(self) -> bool:
        serving = {each.number for each in self._workers if each.phase == Phase.SERVING}
        return len(serving) == self._settings.workers

    def _on_change(self, worker: WorkerProcess) -> None:
        self._changed.set()
        if worker.exit_code is not None:
            self._workers.remove(worker)
            self._metrics.remove(worker.pid)
            worker_log = log.bind(worker=worker.number, pid=worker.pid, exit_code=worker.exit_code)
            if worker.phase == Phase.LEAVING:
                worker_log.info("worker.left")
            elif not self._is_stopping:
                self._on_exit(worker, worker_log)

    def _on_exit(self, worker: WorkerProcess, worker_log: FilteringBoundLogger) -> None:
        has_begun = worker.phase == Phase.SERVING
        if worker.refusal is not None and not has_begun:
            if not self._is_ready or not any(each.phase == Phase.SERVING for each in self._workers):
                self._failure = worker.refusal
                return
            worker_log.error("worker.refused", why=worker.refusal, again_in_seconds=_REFUSED_PAUSE_SECONDS)
            self._not_before[worker.number] = time.monotonic() + _REFUSED_PAUSE_SECONDS
        else:
            worker_log.error("worker.died", why=worker.refusal)
            self._metrics.died.inc()
            if self._restarts.record_death(time.monotonic()):
                self._failure = _TOO_MANY
        if not has_begun and any(each.is_outdated for each in self._workers):
            # Workers that serve are not replaced by a version that cannot start.
            log.error("roll.given_up", advice="see why the worker ended, then send SIGHUP again")
            for each in self._workers:
                each.is_outdated = False

    def _stop(self) -> None:
        self._is_stopping = True
        self._changed.set()

    def _roll(self) -> None:
        if self._is_alarmed:
            log.error("roll.refused", why=_ALARM)
            return
        log.info("roll.began")
        for each in self._workers:
            each.is_outdated = True
        self._changed.set()

    async def _drain(self) -> None:
        self._is_stopping = True
        workers = list(self._workers)
        log.info("server.draining", grace_seconds=self._settings.grace, workers=len(workers))
        for each in workers:
            if each.phase == Phase.STARTING:
                # This worker serves no calls yet.
                each.kill()
            elif each.phase == Phase.SERVING:
                each.drain()
        ends = asyncio.gather(*(each.ended() for each in workers))
        try:
            async with asyncio.timeout(self._rules.drain_seconds):
                await asyncio.shield(ends)
        except TimeoutError:
            for each in list(self._workers):
                log.warning("worker.killed", worker=each.number, pid=each.pid, why="did not drain in time")
                each.kill()
            await ends
        log.info("server.stopped")
