"""Reads metrics as Prometheus would: those of this process, or those that all workers share."""

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
    """One scrape: the text, and the value of each series."""

    text: str
    series: Mapping[tuple[str, Labels], float] = field(repr=False)

    def get(self, name: str, **labels: str) -> float:
        """Return the value of one series; 0 if there is none."""
        return self.series.get((name, frozenset(labels.items())), 0.0)

    def named(self, name: str) -> list[dict[str, str]]:
        """Return the labels of all series of a name."""
        return [dict(labels) for each, labels in self.series if each == name]

    def since(self, before: Exposition, name: str, **labels: str) -> float:
        """Return by how much a series has grown since an earlier scrape."""
        return self.get(name, **labels) - before.get(name, **labels)


def scrape() -> Exposition:
    """Scrape this process."""
    counters.flush()
    return read(generate_latest(REGISTRY).decode())


def shared_in(directory: Path) -> Exposition:
    """Scrape the metrics that all processes have written to a directory."""
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
