"""The metrics, their table in ops/METRICS.md, the alerts and the board name the same series."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from almond_server.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

OPS = Path(__file__).parents[2] / "ops"
METRICS = [each for each in vars(metrics).values() if isinstance(each, Counter | Gauge | Histogram)]
_NAME = re.compile(r"\b((?:almond|grpc_server)_[a-z_]+)\b(?!\()")
_LABELS = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"")
_SERIES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
_NOT_OURS = re.compile(r"\b(?:up|process_start_time_seconds)\{")
"""Series of Prometheus itself, and those that its client adds for a single process."""

_OF_THE_PARENT = re.findall(r"`(almond_workers?_[a-z]+_total)`", (OPS / "METRICS.md").read_text())
_ADDED_BY_PROMETHEUS = {"job", "instance", "le"}
_PAGE_OR_TICKET = {"page", "ticket"}

_RULES = {
    "type": "object",
    "additionalProperties": False,
    "required": ["groups"],
    "properties": {
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "rules"],
                "properties": {
                    "name": {"type": "string"},
                    "rules": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["alert", "expr", "labels", "annotations"],
                            "properties": {
                                "alert": {"type": "string", "pattern": "^Almond[A-Z][A-Za-z]+$"},
                                "expr": {"type": "string", "minLength": 1},
                                "for": {"type": "string", "pattern": "^[0-9]+[smh]$"},
                                "labels": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "required": ["severity"],
                                    "properties": {"severity": {"enum": sorted(_PAGE_OR_TICKET)}},
                                },
                                "annotations": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "required": ["summary", "description"],
                                    "properties": {
                                        "summary": {"type": "string", "minLength": 10, "maxLength": 120},
                                        "description": {"type": "string", "pattern": r"Call .+\.$"},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def name_of(metric: Any) -> str:
    """Return the name of a metric as Prometheus shows it: a counter's ends in `_total`."""
    return f"{metric._name}_total" if isinstance(metric, Counter) else str(metric._name)


def series() -> dict[str, set[str]]:
    """Return the names of all series, each with its labels."""
    return {
        f"{name_of(each)}{suffix}": {*each._labelnames} for each in METRICS for suffix in _SERIES[each._type]
    }


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((OPS / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def board() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((OPS / "dashboard.json").read_text())
    return read


def panels() -> list[dict[str, Any]]:
    return [each for each in board()["panels"] if each["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield board()["templating"]["list"][1]["query"]["query"]


def test_every_metric_is_in_the_table_as_it_is_defined() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (OPS / "METRICS.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    defined = []
    for each in METRICS:
        merged = each._multiprocess_mode.removeprefix("live") if isinstance(each, Gauge) else "sum"
        labels = ", ".join(f"`{label}`" for label in each._labelnames)
        defined.append([f"`{name_of(each)}`", each._type, labels, merged, each._documentation])
    assert [row[:5] for row in rows] == defined
    assert all(row[5] for row in rows)


def test_every_alert_that_the_table_names_is_there() -> None:
    named = set(re.findall(r"`(Almond[A-Z]\w+)`", (OPS / "METRICS.md").read_text()))
    assert named == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("metric", METRICS, ids=name_of)
def test_a_metric_is_named_as_prometheus_asks_and_shared_without_process_ids(metric: Any) -> None:
    name = name_of(metric)
    assert re.fullmatch(r"(almond|grpc_server)_[a-z_]+", name)
    assert name.endswith("_seconds") == (isinstance(metric, Histogram) or "seconds" in name)
    assert metric._documentation
    if isinstance(metric, Gauge):
        assert metric._multiprocess_mode in {"livesum", "livemax", "livemin"}


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_names_only_series_and_labels_that_exist(expression: str) -> None:
    known = series() | {name: set[str]() for name in _OF_THE_PARENT}
    used = set(_NAME.findall(expression))
    assert used or _NOT_OURS.search(expression)
    assert used <= known.keys()
    labels = set(_LABELS.findall(expression)) - _ADDED_BY_PROMETHEUS
    for grouped in re.findall(r"\b(?:by|without) \(([^)]*)\)", expression):
        labels |= {label.strip() for label in grouped.split(",")} - _ADDED_BY_PROMETHEUS
    assert labels <= set().union(*(known[name] for name in used))
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)


def test_every_metric_is_on_the_board() -> None:
    shown = {
        name for panel in panels() for target in panel["targets"] for name in _NAME.findall(target["expr"])
    }
    missing = {name_of(each) for each in METRICS if not any(name.startswith(name_of(each)) for name in shown)}
    assert missing == set()


def test_the_alerts_are_rules_that_prometheus_reads() -> None:
    jsonschema.validate(yaml.safe_load((OPS / "alerts.yml").read_text()), _RULES)
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names)) >= 20


def test_the_board_can_be_imported_for_any_prometheus() -> None:
    read = board()
    assert read["title"]
    assert read["schemaVersion"] >= 36
    datasource, job = read["templating"]["list"]
    assert (datasource["name"], datasource["type"], datasource["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    assert job["name"] == "job"
    ids = [each["id"] for each in read["panels"]]
    assert len(ids) == len(set(ids))
    occupied: set[tuple[int, int]] = set()
    for panel in read["panels"]:
        position = panel["gridPos"]
        assert position["x"] + position["w"] <= 24
        cells = {
            (x, y)
            for x in range(position["x"], position["x"] + position["w"])
            for y in range(position["y"], position["y"] + position["h"])
        }
        assert not cells & occupied, panel["title"]
        occupied |= cells
    for panel in panels():
        for each in (panel, *panel["targets"]):
            assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["expr"] and target["refId"] for target in panel["targets"])
