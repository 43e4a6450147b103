"""All metrics of a server, for Prometheus. ops/METRICS.md says what each means for the operator.

Rules:

* Several processes may share them (`PROMETHEUS_MULTIPROC_DIR`, set before this module is imported): each
  gauge says how the values of the running ones become one.
* Labels come from small fixed sets: never a token, an id, an org, a subject or an address.
* The rooms above import this module and count directly, or through `counters` on the hot path. The rooms
  below count in plain numbers, which `observer` copies.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

import grpc
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# Otherwise each counter has a second series with its start time, which several processes cannot share.
disable_created_metrics()  # type: ignore[no-untyped-call]

_CALL: Final = ("grpc_type", "grpc_service", "grpc_method")
_CALL_BUCKETS: Final = (
    *(0.00005, 0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_STORE_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LOOP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# Calls: names and labels of go-grpc-prometheus, as ready-made dashboards expect them.
CALLS_STARTED: Final = Counter("grpc_server_started_total", "Calls begun", _CALL)
CALLS_HANDLED: Final = Counter(
    "grpc_server_handled_total", "Calls ended, by their status", (*_CALL, "grpc_code")
)
CALL_SECONDS: Final = Histogram(
    "grpc_server_handling_seconds",
    "From the request's bytes to the answer's, in this process; of a stream its whole length",
    _CALL,
    buckets=_CALL_BUCKETS,
)

# Answers.
DECISIONS: Final = Counter(
    "almond_decisions_total", "Questions answered, and the first reason of a denial", ("outcome", "reason")
)
BATCH_ERRORS: Final = Counter(
    "almond_batch_errors_total", "Questions of a BatchVerify that got an error", ("grpc_code",)
)
TOKENS_MINTED: Final = Counter(
    "almond_tokens_minted_total", "Mint and RotateToken calls answered with a token"
)
REVOCATIONS: Final = Counter("almond_revocations_total", "Entries that acknowledged Revoke calls added")
CALLER_HITS: Final = Counter(
    "almond_caller_cache_hits_total", "Callers' tokens that were verified in an earlier call"
)
CALLER_MISSES: Final = Counter("almond_caller_cache_misses_total", "Callers' tokens that had to be verified")
EXPIRING_CALLERS: Final = Gauge(
    "almond_expiring_callers",
    "Callers of the last hour whose token was issued for over 30 days and has less than 14 left",
    multiprocess_mode="livemax",
)

# The view: the revocations in memory.
WORKERS: Final = Gauge("almond_workers", "Processes that serve", multiprocess_mode="livesum")
WORKER_STARTS: Final = Counter("almond_worker_starts_total", "Processes that began to serve")
OBSERVED_AT: Final = Gauge(
    "almond_observed_at_seconds",
    "Unix time when the gauges were last set: one that stands still is a process that hangs",
    multiprocess_mode="livemin",
)
FRESH_WORKERS: Final = Gauge(
    "almond_fresh_workers", "Processes whose view is fresh, so that they answer", multiprocess_mode="livesum"
)
VIEW_REVISION: Final = Gauge(
    "almond_view_revision", "The number of the newest revision seen", multiprocess_mode="livemin"
)
VIEW_AGE: Final = Gauge(
    "almond_view_age_seconds",
    "Time since the reading of the store that proves the view; +Inf before the first",
    multiprocess_mode="livemax",
)
MAX_STALENESS: Final = Gauge(
    "almond_max_staleness_seconds",
    "Maximum age of the view; above it Verify answers UNAVAILABLE instead of ALLOWED",
    multiprocess_mode="livemax",
)
VIEW_ALARM: Final = Gauge(
    "almond_view_alarm", "1 after the store went backwards or was exchanged", multiprocess_mode="livemax"
)
VIEW_ENTRIES: Final = Gauge(
    "almond_view_entries", "Tokens with at least one revocation", multiprocess_mode="livemax"
)
VIEW_BYTES: Final = Gauge(
    "almond_view_bytes", "Memory of the tables of revoked ids", multiprocess_mode="livesum"
)
VIEW_GAPS: Final = Counter(
    "almond_view_gaps_total",
    "Changes from the feed that do not follow the view's revision; the store is read instead",
)
VIEW_RESYNCS: Final = Counter(
    "almond_view_resyncs_total", "Views reloaded page by page, as the store no longer had the changes"
)

# The feed and the relay: how revocations travel between servers.
FEED_UNREADABLE: Final = Gauge(
    "almond_feed_unreadable", "1 while Redis cannot be read", multiprocess_mode="livemax"
)
FEED_UNWRITABLE: Final = Gauge(
    "almond_feed_unwritable", "1 while Redis refuses writes", multiprocess_mode="livemax"
)
FEED_MAY_EVICT: Final = Gauge(
    "almond_feed_may_evict", "1 while Redis may evict keys, or does not say", multiprocess_mode="livemax"
)
FEED_REJECTED: Final = Counter(
    "almond_feed_rejected_total", "Entries and heartbeats in Redis that are not genuine"
)
BEAT_AGE: Final = Gauge(
    "almond_feed_beat_age_seconds",
    "Time since the challenge that the relay's last heartbeat answered, or since the start",
    multiprocess_mode="livemax",
)
RELAY_ELECTED: Final = Gauge(
    "almond_relay_elected", "1 while one of the processes is the relay", multiprocess_mode="livesum"
)
RELAY_LAG: Final = Gauge(
    "almond_relay_lag_revisions",
    "Revisions of the store that the elected relay has not published to the feed",
    multiprocess_mode="livemax",
)

ROTATION_LATE: Final = Gauge(
    "almond_rotation_late_seconds",
    "How long ago a rotated token was due to be revoked that is not revoked yet; 0 if none is late",
    multiprocess_mode="livemax",
)

# Watchers.
WATCHERS: Final = Gauge("almond_watchers", "Open WatchRevocations streams", multiprocess_mode="livesum")
WATCHERS_DROPPED: Final = Counter(
    "almond_watchers_dropped_total", "WatchRevocations streams that the server ended early", ("reason",)
)

# The process, its store and its event loop.
STORE_SECONDS: Final = Histogram(
    "almond_store_seconds",
    "Time in the store, waiting for a thread included",
    ("operation",),
    buckets=_STORE_BUCKETS,
)
LOOP_LAG: Final = Histogram(
    "almond_loop_lag_seconds",
    "How late the event loop runs a timer, measured ten times a second",
    buckets=_LOOP_BUCKETS,
)
BUILD_INFO: Final = Gauge(
    "almond_build_info",
    "1; the labels are the versions that run",
    ("version", "python", "grpc"),
    multiprocess_mode="livemax",
)


def describe_build() -> None:
    """Set `almond_build_info`; raises `PackageNotFoundError` if almond-auth is not installed."""
    BUILD_INFO.labels(version("almond-auth"), platform.python_version(), grpc.__version__).set(1)
