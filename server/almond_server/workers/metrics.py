"""The metrics of all workers, merged into one registry, with the parent's own counts of workers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

# As `telemetry.metrics` does in the workers; a parent must not import that, as it imports grpc.
disable_created_metrics()  # type: ignore[no-untyped-call]


class WorkerMetrics:
    """Merges the metrics that workers write into a directory; counts their deaths and replacements."""

    def __init__(self, directory: str) -> None:
        """`directory` is the workers' PROMETHEUS_MULTIPROC_DIR: private and empty."""
        self._directory = directory
        self.registry = CollectorRegistry()
        MultiProcessCollector(self.registry, directory)  # type: ignore[no-untyped-call]
        self.died = Counter(
            "almond_worker_deaths",
            "Workers that ended without a stop by their parent.",
            registry=self.registry,
        )
        self.replaced = Counter(
            "almond_workers_replaced", "Workers replaced as stale or silent.", registry=self.registry
        )

    def remove(self, pid: int) -> None:
        """Drop the gauges of a worker that has ended; its counters stay in the sums."""
        mark_process_dead(pid, self._directory)  # type: ignore[no-untyped-call]
