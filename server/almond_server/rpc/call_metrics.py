"""Counts calls and decisions. On the path of Verify: every counter is looked up once, before the calls."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

import grpc

from almond_core.errors import Reason
from almond_server.telemetry import metrics
from almond_server.telemetry.counters import BufferedCounter, buffered_counter, buffered_histogram

if TYPE_CHECKING:
    from almond_core.decision import Decision

_UNKNOWN: Final = ("unary", "unknown", "unknown")
"""The labels of every method that does not exist: callers choose such names, and could choose any number."""

_ALLOWED: Final = buffered_counter(metrics.DECISIONS.labels("allowed", ""))
_DENIED: Final = {
    reason: buffered_counter(metrics.DECISIONS.labels("denied", reason.value)) for reason in Reason
}


def count_decision(decision: Decision, *, allowed: bool) -> None:
    """Count a decision as it was answered; a denial counts under its first reason."""
    (_ALLOWED if allowed else _DENIED[decision.denials[0].reason]).count += 1


def count_batch_error(code: grpc.StatusCode) -> None:
    """Count a question of a batch that was answered by an error of its own."""
    metrics.BATCH_ERRORS.labels(_name(code)).inc()


def count_end_of_watch(reason: str) -> None:
    """Count a watch stream that the server ended, by the reason of its status."""
    metrics.WATCHERS_DROPPED.labels(reason).inc()


def count_unknown_method() -> None:
    """Count a call of a method that does not exist, whatever its name."""
    metrics.CALLS_STARTED.labels(*_UNKNOWN).inc()
    metrics.CALLS_HANDLED.labels(*_UNKNOWN, _name(grpc.StatusCode.UNIMPLEMENTED)).inc()


class Meter:
    """The counters and the histogram of one method that exists."""

    def __init__(self, method: str, kind: str) -> None:
        """Label by the full name, `/package.Service/Method`, and its type as go-grpc-prometheus names it."""
        service, _, name = method.removeprefix("/").rpartition("/")
        self._labels = (kind, service, name)
        self._started = buffered_counter(metrics.CALLS_STARTED.labels(*self._labels))
        self._seconds = buffered_histogram(metrics.CALL_SECONDS.labels(*self._labels))
        self._handled: dict[grpc.StatusCode, BufferedCounter] = {}
        # These start at 0, so that the first increase is seen.
        for code in (grpc.StatusCode.OK, grpc.StatusCode.INTERNAL):
            self._of(code)

    def begin(self) -> float:
        """Count a call that begins; returns its start, in seconds, for `end`."""
        self._started.count += 1
        return perf_counter()

    def end(self, began: float, code: grpc.StatusCode) -> None:
        """Count a call that ended with a code, and its duration."""
        self._seconds.add(perf_counter() - began)
        (self._handled.get(code) or self._of(code)).count += 1

    def _of(self, code: grpc.StatusCode) -> BufferedCounter:
        handled = self._handled[code] = buffered_counter(
            metrics.CALLS_HANDLED.labels(*self._labels, _name(code))
        )
        return handled


def _name(code: grpc.StatusCode) -> str:
    """Write a code as Go does: `OK`, `InvalidArgument`, `Canceled`."""
    if code is grpc.StatusCode.CANCELLED:
        return "Canceled"
    return "OK" if code is grpc.StatusCode.OK else code.name.title().replace("_", "")
