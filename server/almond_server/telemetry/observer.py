"""Copies the state of a server's parts into its metrics each second, and measures the event loop's lag."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from almond_server.telemetry import counters, metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import Counter

    from almond_server.domain.feed import FeedState
    from almond_server.revocation.due_revocations import DueRevocations
    from almond_server.revocation.follower import Follower
    from almond_server.revocation.index.view import RevocationView
    from almond_server.revocation.relay import Relay
    from almond_server.tokens.callers import Callers
    from almond_server.watch.hub import WatchHub

_LAG_SAMPLE_SECONDS: Final = 0.1
_SAMPLES_PER_COPY: Final = 10
"""Samples of the loop's lag between two copies: a copy each second."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of a server whose state is copied."""

    view: RevocationView
    follower: Follower
    relay: Relay
    due: DueRevocations
    callers: Callers
    watches: WatchHub
    feed: Callable[[], FeedState]


class Observer:
    """Keeps the metrics of one server up to date."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._copied: dict[Counter, int] = {}

    async def run(self) -> None:
        """Copy and measure until cancelled."""
        metrics.describe_build()
        metrics.WORKERS.set(1)
        metrics.WORKER_STARTS.inc()
        loop = asyncio.get_running_loop()
        while True:
            self.copy()
            for _ in range(_SAMPLES_PER_COPY):
                due = loop.time() + _LAG_SAMPLE_SECONDS
                await asyncio.sleep(_LAG_SAMPLE_SECONDS)
                metrics.LOOP_LAG.observe(max(0.0, loop.time() - due))

    def copy(self) -> None:
        """Set all gauges, and raise all counters to their totals."""
        view, follower, relay = self._observed.view, self._observed.follower, self._observed.relay
        metrics.OBSERVED_AT.set_to_current_time()
        metrics.FRESH_WORKERS.set(view.is_fresh)
        metrics.VIEW_REVISION.set(view.revision.number)
        metrics.VIEW_AGE.set(view.age)
        metrics.MAX_STALENESS.set(view.max_staleness)
        metrics.VIEW_ALARM.set(view.has_alarm)
        metrics.VIEW_ENTRIES.set(len(view))
        metrics.VIEW_BYTES.set(view.memory_bytes)
        metrics.BEAT_AGE.set(follower.heartbeat_age)
        metrics.RELAY_ELECTED.set(relay.is_elected)
        metrics.RELAY_LAG.set(relay.lag)
        metrics.EXPIRING_CALLERS.set(self._observed.callers.expiring)
        metrics.ROTATION_LATE.set(self._observed.due.seconds_late)
        metrics.WATCHERS.set(len(self._observed.watches))
        feed = self._observed.feed()
        metrics.FEED_UNREADABLE.set(not feed.is_read)
        metrics.FEED_UNWRITABLE.set(not feed.is_written)
        metrics.FEED_MAY_EVICT.set(feed.may_evict)
        counters.flush()
        self._add_new(metrics.VIEW_GAPS, follower.gaps)
        self._add_new(metrics.VIEW_RESYNCS, follower.resyncs)
        self._add_new(metrics.FEED_REJECTED, feed.rejected)
        self._add_new(metrics.CALLER_HITS, self._observed.callers.hits)
        self._add_new(metrics.CALLER_MISSES, self._observed.callers.misses)

    def _add_new(self, counter: Counter, total: int) -> None:
        counter.inc(total - self._copied.get(counter, 0))
        self._copied[counter] = total
