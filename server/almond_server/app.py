"""The composition root: the one place that knows both the adapters and the service."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from almond_core import crypto
from almond_server import redis_address, unhealed
from almond_server.adapters import master_key
from almond_server.adapters.clock import SystemClock
from almond_server.adapters.elections import election
from almond_server.adapters.redis_feed import RedisFeed
from almond_server.adapters.sql import postgres
from almond_server.adapters.sql.store import Store, open_store
from almond_server.errors import StartError
from almond_server.ports_in_use import check_free
from almond_server.rpc.admin_servicer import AdminServicer
from almond_server.rpc.health import Health
from almond_server.rpc.revocation_servicer import RevocationServicer
from almond_server.rpc.server import build
from almond_server.rpc.servicer import TokenServicer
from almond_server.service import needs
from almond_server.service.attenuator import Attenuator
from almond_server.service.callers import Callers
from almond_server.service.change_log import ChangeLog
from almond_server.service.follower import Follower, Signals
from almond_server.service.key_ring import KeyRing
from almond_server.service.limiter import Limiter
from almond_server.service.minter import Minter
from almond_server.service.policy import Policy
from almond_server.service.records import Records
from almond_server.service.relay import Relay
from almond_server.service.revoker import Revoker
from almond_server.service.uses import Uses
from almond_server.service.verifier import Verifier
from almond_server.service.view import RevocationView
from almond_server.service.watches import Watches
from almond_server.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import grpc

    from almond_server.ports import SealedKey
    from almond_server.service.call import Call
    from almond_server.settings import Settings

_DRAIN_SECONDS: Final = 0.2
_SWITCH_SECONDS: Final = 0.0005
"""How long the store's threads wait for the interpreter while the loop is busy. Each statement waits several
times: with Python's own 5 ms a Revoke among a thousand watchers took four times as long."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class App:
    """A server put together, with what runs beside it."""

    server: grpc.aio.Server
    follower: Follower
    relay: Relay
    uses: Uses
    watches: Watches
    health: Health
    store: Store
    feed: RedisFeed

    async def run(self) -> None:
        """Do what is done in the background, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.follower.run())
            tasks.create_task(self.relay.run())
            tasks.create_task(self.uses.run())
            tasks.create_task(self.watches.run())

    async def close(self) -> None:
        """Write what is not written yet, and let go of everything."""
        await self.uses.write()
        await self.feed.close()
        await self.store.close()


async def compose(settings: Settings) -> App:
    """Open the store and put everything together; raises `StartError` if something is missing."""
    clock = SystemClock()
    master = master_key.read(settings.master_key)
    store = open_store(settings.database)
    sealed = await store.keys.all()
    if not sealed:
        raise StartError("The store has no key; run `almond init`.")
    reading = await store.revocations.reading(clock.now_ms() // 1000)
    if not reading.epoch:
        raise StartError("This store is a backup: run `almond store restored` first (ops/RESTORE.md).")
    view = RevocationView(reading.epoch, settings.max_staleness, clock)
    keys = KeyRing(_unsealed(sealed, master), sealed[-1].key_id, view)
    health = Health()
    feed = RedisFeed(settings.redis_url, master_key.feed_key(master), reading.epoch)
    changes = ChangeLog(view)
    follower = Follower(
        store.revocations,
        feed,
        view,
        clock,
        settings.poll_interval,
        Signals(
            _health_follows(health),
            lambda: _write_down(settings.data_dir, view),
            health.set_feed,
            changes.take,
        ),
    )
    elected = election(settings.database, settings.data_dir, settings.poll_interval)
    relay = Relay(elected, store.revocations, feed, follower, clock, settings.poll_interval)
    uses = Uses(store.tokens)
    callers = Callers(keys, view, uses, clock, settings.leeway)
    watches = Watches(
        callers, changes, follower, store.revocations, store.tokens, view, clock, settings.max_staleness
    )
    limiter = Limiter(settings.presented_per_minute, clock)
    policy = Policy(callers, store.policies, clock)
    servicer = TokenServicer(
        Verifier(callers, keys, view, uses, clock, settings.leeway),
        Minter(callers, keys, store.tokens, policy, view, clock),
        Attenuator(callers, keys, store.tokens, view, clock),
        Revoker(callers, keys, store.tokens, store.revocations, view, follower, limiter, clock),
        Records(callers, keys, store.tokens, view, clock),
        follower,
        clock,
    )
    revocations = RevocationServicer(watches, reading.epoch)
    server = build(servicer, AdminServicer(policy), revocations, health, _may_reflect(callers))
    return App(server, follower, relay, uses, watches, health, store, feed)


async def serve(settings: Settings, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain: NOT_SERVING, grace, stop.

    `ready` is called once, with the port, when the first question can be answered.
    """
    unhealed.must_be_none(settings.data_dir)
    check_free(settings.address)
    app = await compose(settings)
    # What is there now stays. The garbage collector need not look through it again and again: the view's
    # table alone would keep calls waiting for tens of milliseconds each time.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        await app.follower.start()
        port = _bind(app.server, settings.address)
        await app.server.start()
        following = asyncio.create_task(app.run())
        following.add_done_callback(lambda _: stopping.set())
        _warn_of_plaintext(settings)
        log.info("server.started", address=settings.address, port=port)
        ready(port)
        await stopping.wait()
        await _stop(app, settings.grace)
        failed = following.done() and not following.cancelled() and following.exception() is not None
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        if failed:
            raise StartError("The server stopped by itself: it could not go on following revocations.")
    finally:
        await app.close()


def _warn_of_plaintext(settings: Settings) -> None:
    if not is_loopback(settings.address):
        log.warning("server.plaintext", advice="put a proxy that speaks TLS in front: tokens are secrets")
    if isinstance(settings.database, str) and postgres.is_exposed(settings.database):
        log.warning(
            "store.plaintext", advice="add sslmode=verify-full&sslrootcert=FILE to ALMOND_DATABASE_URL"
        )
    if redis_address.parse(settings.redis_url).is_exposed:
        log.warning("feed.plaintext", advice="others may read its password: rediss in ALMOND_REDIS_URL")


async def _stop(app: App, grace: float) -> None:
    log.info("server.draining", grace_seconds=grace)
    app.health.leave()
    await asyncio.sleep(_DRAIN_SECONDS)  # load balancers turn away before calls are refused
    app.watches.leave()
    await app.server.stop(grace)
    log.info("server.stopped")


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        check_free(address)  # names who was faster
        raise StartError(f"Cannot listen on {address}.") from None


def _unsealed(sealed: Sequence[SealedKey], master: master_key.MasterKey) -> dict[str, bytes]:
    return {key.key_id: crypto.extract(master_key.unseal(master, key.key_id, key.sealed)) for key in sealed}


def _may_reflect(callers: Callers) -> Callable[[Call], None]:
    def check(call: Call) -> None:
        callers.permit_each(call, lambda token: [needs.to_reflect(token.identity.home_org)])

    return check


def _write_down(data_dir: Path, view: RevocationView) -> None:
    if not len(view):  # it has just started, and knows nothing that others do not
        return
    try:
        path = unhealed.write(data_dir, view.revision, view.entries())
    except OSError as error:
        log.error("store.unhealed", why=str(error), advice="keep this server running: it alone knows")  # noqa: TRY400
    else:
        log.error("store.unhealed", file=str(path), advice="almond store heal")


def _health_follows(health: Health) -> Callable[[bool], None]:
    def turn(fresh: bool) -> None:  # noqa: FBT001 - a callback's one argument
        log.info("server.fresh" if fresh else "server.stale")
        health.set(serving=fresh)

    return turn
