"""What Prometheus would read of this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from almond_server.telemetry import counters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Exposition:
    """One reading: the text, and the value of each series."""

    text: str
    series: Mapping[tuple[str, Labels], float] = field(repr=False)

    def get(self, name: str, **labels: str) -> float:
        """Return the value of one series; 0 if it is not there."""
        return self.series.get((name, frozenset(labels.items())), 0.0)

    def named(self, name: str) -> list[dict[str, str]]:
        """Return the labels of all series of a name."""
        return [dict(labels) for each, labels in self.series if each == name]

    def since(self, before: Exposition, name: str, **labels: str) -> float:
        """Return how much a series has grown."""
        return self.get(name, **labels) - before.get(name, **labels)


def here() -> Exposition:
    """Read this process."""
    counters.flush()
    return read(generate_latest(REGISTRY).decode())


def shared_in(directory: Path) -> Exposition:
    """Read what all processes have left in a directory."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]
    return read(generate_latest(registry).decode())


def read(text: str) -> Exposition:
    """Read the text format."""
    families: list[Metric] = list(text_string_to_metric_families(text))
    return Exposition(
        text,
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        },
    )
