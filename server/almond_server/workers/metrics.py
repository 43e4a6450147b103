"""What a parent counts of its workers, and the metrics of all of them summed."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

# As the workers do (`metrics`, which is not for a parent).
disable_created_metrics()  # type: ignore[no-untyped-call]


class WorkerMetrics:
    """Collects from the directory where workers keep their metrics, and adds what only their parent knows."""

    def __init__(self, directory: str) -> None:
        """Take the directory, private and empty."""
        self._directory = directory
        self.registry = CollectorRegistry()
        MultiProcessCollector(self.registry, directory)  # type: ignore[no-untyped-call]
        self.died = Counter(
            "almond_worker_deaths", "Workers that ended without being told to.", registry=self.registry
        )
        self.replaced = Counter(
            "almond_workers_replaced", "Workers replaced as stale or silent.", registry=self.registry
        )

    def remove(self, pid: int) -> None:
        """Drop what was true of a worker only while it lived; what it counted stays in the sums."""
        mark_process_dead(pid, self._directory)  # type: ignore[no-untyped-call]
