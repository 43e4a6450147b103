"""The composition root: builds a server from its settings, the adapters, the use cases and the RPCs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog

from almond_core import crypto
from almond_server.adapters.file_election import FileElection
from almond_server.adapters.redis.feed import RedisFeed
from almond_server.adapters.sql.election import PostgresElection
from almond_server.adapters.sql.store import Store, open_store
from almond_server.adapters.system_clock import SystemClock
from almond_server.config import redis_url
from almond_server.config.addresses import is_loopback
from almond_server.data_dir import master_key, rescue_file
from almond_server.errors import StartError
from almond_server.revocation.due_revocations import DueRevocations
from almond_server.revocation.follower import Follower, Signals
from almond_server.revocation.index.view import RevocationView
from almond_server.revocation.relay import Relay
from almond_server.rpc.admin_servicer import AdminServicer
from almond_server.rpc.health import Health
from almond_server.rpc.revocation_servicer import RevocationServicer
from almond_server.rpc.server import build
from almond_server.rpc.token_servicer import TokenServicer
from almond_server.telemetry import metrics
from almond_server.telemetry.observer import Observed, Observer
from almond_server.telemetry.status import Knowledge, Report
from almond_server.telemetry.traces import Spans
from almond_server.tokens import permissions
from almond_server.tokens.attenuate import Attenuator
from almond_server.tokens.bulk_revoke import BulkRevoker
from almond_server.tokens.callers import Callers
from almond_server.tokens.expiry_policy import Policy
from almond_server.tokens.key_ring import KeyRing
from almond_server.tokens.last_used import LastUseRecorder
from almond_server.tokens.lookup import TokenLookup
from almond_server.tokens.mint import Minter
from almond_server.tokens.rate_limit import Limiter
from almond_server.tokens.revoke import Revoker
from almond_server.tokens.rotate import Rotator
from almond_server.tokens.verify import Verifier
from almond_server.watch.change_log import ChangeLog
from almond_server.watch.hub import WatchHub

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    import grpc

    from almond_server.adapters.sql.database import Location
    from almond_server.config.settings import Settings
    from almond_server.domain.feed import Election
    from almond_server.domain.stores import SealedKey
    from almond_server.tokens.callers import Call

Background: TypeAlias = "Callable[[App], Coroutine[Any, Any, None]]"
"""A coroutine that runs in the background while a server serves."""

_TRACES_SECONDS: Final = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class App:
    """A composed server, with its background tasks. `close` it in the end."""

    server: grpc.aio.Server
    follower: Follower
    relay: Relay
    due: DueRevocations
    last_used: LastUseRecorder
    watches: WatchHub
    health: Health
    store: Store
    feed: RedisFeed
    observer: Observer
    spans: Spans | None
    report: Callable[[], Report]
    """Returns how current the server's knowledge of revocations is now."""

    async def run(self, background: Background) -> None:
        """Run all background tasks and `background` until cancelled; raises if one of them fails."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.follower.run())
            tasks.create_task(self.relay.run())
            tasks.create_task(self.due.run())
            tasks.create_task(self.last_used.run())
            tasks.create_task(self.observer.run())
            tasks.create_task(self.watches.run())
            tasks.create_task(background(self))

    async def close(self) -> None:
        """Write pending last-used times, send pending spans, and close the feed and the store."""
        self.observer.copy()
        await self.last_used.write()
        if self.spans is not None:
            await asyncio.to_thread(self.spans.close, _TRACES_SECONDS)
        await self.feed.close()
        await self.store.close()


async def compose(settings: Settings) -> App:
    """Open the store and compose a server on it; raises `StartError` if a part is missing."""
    clock = SystemClock()
    master = master_key.read(settings.master_key)
    spans = Spans(settings.traces) if settings.traces else None
    store = open_store(settings.database, _time_store)
    sealed = await store.keys.all()
    if not sealed:
        raise StartError("The store has no key; run `almond init`.")
    reading = await store.revocations.reading(clock.now_ms() // 1000)
    if not reading.epoch:
        raise StartError("This store is a backup: run `almond store restored` first, see ops/RESTORE.md.")
    view = RevocationView(reading.epoch, settings.max_staleness, clock)
    keys = KeyRing(_unsealed(sealed, master), sealed[-1].key_id, view)
    health, alarmed = Health(), asyncio.Event()

    def alarm() -> None:
        alarmed.set()
        _write_rescue_file(settings.data_dir, view)

    feed = RedisFeed(settings.redis_url, master_key.feed_key(master), reading.epoch)
    changes = ChangeLog(view)
    follower = Follower(
        store.revocations,
        feed,
        view,
        clock,
        settings.poll_interval,
        Signals(_health_setter(health), alarm, health.set_feed, changes.append),
    )
    elected = election(settings.database, settings.data_dir, settings.poll_interval)
    relay = Relay(elected, store.revocations, feed, follower, clock, settings.poll_interval)
    due = DueRevocations(store.rotations, lambda: relay.has_won, follower.require_sound, clock)
    last_used = LastUseRecorder(store.tokens)
    callers = Callers(keys, view, last_used, clock, settings.leeway)
    watches = WatchHub(
        callers, changes, follower, store.revocations, store.tokens, view, clock, settings.max_staleness
    )
    limiter = Limiter(settings.presented_per_minute, clock)
    policy = Policy(callers, store.policies, clock)
    servicer = TokenServicer(
        Verifier(callers, keys, view, last_used, clock, settings.leeway),
        Minter(callers, keys, store.tokens, policy, view, clock),
        Attenuator(callers, keys, store.tokens, view, clock),
        Revoker(callers, keys, store.tokens, store.revocations, view, follower, limiter, clock),
        BulkRevoker(callers, store.tokens, store.revocations, view, follower, clock),
        Rotator(callers, keys, store.tokens, store.rotations, policy, view, follower, clock),
        TokenLookup(callers, keys, store.tokens, view, clock),
        follower.waits,
        clock,
    )
    server = build(
        servicer,
        AdminServicer(policy),
        RevocationServicer(watches, reading.epoch),
        health,
        _reflection_check(callers),
        spans,
        shares_port=settings.workers > 1,
    )
    observer = Observer(Observed(view, follower, relay, due, callers, watches, lambda: feed.state))

    def report() -> Report:
        now = clock.monotonic()
        knowledge = Knowledge.FRESH if view.is_fresh else Knowledge.STALE
        if alarmed.is_set():
            knowledge = Knowledge.ALARMED
        return Report(knowledge, view.was_read_since(now - settings.max_staleness / 2), now)

    return App(server, follower, relay, due, last_used, watches, health, store, feed, observer, spans, report)


def warn_of_plaintext(settings: Settings) -> None:
    """Log a warning for each connection over a network without TLS."""
    if not is_loopback(settings.address):
        log.warning("server.plaintext", advice="put a TLS proxy in front: tokens are secrets")
    if isinstance(settings.database, str):
        from almond_server.adapters.sql import postgres  # noqa: PLC0415 - its driver is slow to load

        if postgres.is_exposed(settings.database):
            log.warning(
                "store.plaintext", advice="add sslmode=verify-full&sslrootcert=FILE to ALMOND_DATABASE_URL"
            )
    if redis_url.parse(settings.redis_url).is_exposed:
        log.warning(
            "feed.plaintext", advice="use rediss in ALMOND_REDIS_URL: its password can be read on the network"
        )


def _unsealed(sealed: Sequence[SealedKey], master: master_key.MasterKey) -> dict[str, bytes]:
    return {key.key_id: crypto.extract(master_key.unseal(master, key.key_id, key.sealed)) for key in sealed}


def _reflection_check(callers: Callers) -> Callable[[Call], None]:
    def check(call: Call) -> None:
        callers.permit_each(call, lambda token: [permissions.to_reflect(token.identity.home_org)])

    return check


def _time_store(operation: str, seconds: float) -> None:
    metrics.STORE_SECONDS.labels(operation).observe(seconds)


def _write_rescue_file(data_dir: Path, view: RevocationView) -> None:
    if not len(view) and not list(view.cut_offs()):
        # The view holds no revocations, as when the server has just started.
        return
    try:
        path = rescue_file.write(data_dir, view.revision, view.entries(), view.cut_offs())
    except OSError as error:
        advice = "keep this server running: only it holds the lost revocations"
        log.error("store.unhealed", why=str(error), advice=advice)  # noqa: TRY400
    else:
        log.error("store.unhealed", file=str(path), advice="run `almond store heal`")


def _health_setter(health: Health) -> Callable[[bool], None]:
    def set_health(fresh: bool) -> None:  # noqa: FBT001 - a callback's one argument
        log.info("server.fresh" if fresh else "server.stale")
        health.set(serving=fresh)

    return set_health


def election(location: Location, data_dir: Path, check_seconds: float) -> Election:
    """Return the relay election among the servers on a store: by a file lock for SQLite, else by PostgreSQL.

    A relay checks that it is still elected every `check_seconds`, plus the time that its work takes.
    """
    if isinstance(location, Path):
        return FileElection(data_dir / "relay.lock")
    return PostgresElection(location, check_seconds)
