"""A real Redis master with a replica and sentinels, on loopback."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import redis

from support.redis_servers import RedisServer, Tls, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MASTER: Final = "almond"


@dataclass(frozen=True)
class Watched:
    """A master, its replica, and the sentinels that watch them."""

    servers: Sequence[RedisServer]
    sentinels: Sequence[RedisServer]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(each.address for each in self.sentinels)}/{MASTER}"

    @property
    def master(self) -> RedisServer:
        port = self.known_port()  # read once: it may be another one at any moment
        return next(each for each in self.servers if each.port == port)

    @property
    def replica(self) -> RedisServer:
        port = self.known_port()
        return next(each for each in self.servers if each.port != port)

    def fail_over(self, cause: Callable[[], object]) -> None:
        """Call `cause`, which makes the sentinels elect another master, and wait until they have."""
        before = self.known_port()
        cause()
        until(lambda: self.known_port() != before)

    def mend(self) -> None:
        """Resume and restart all servers and sentinels, and wait until they work."""
        for each in (*self.servers, *self.sentinels):
            each.revive()
        hurry(self.sentinels, "100")
        until(lambda: "master_link_status:up" in self.replica.do("INFO", "replication"))
        until(lambda: all(_is_complete(each) for each in self.sentinels))

    def known_port(self) -> int:
        """The port of the newest master that a sentinel knows."""
        known = []
        for each in self.sentinels:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                state = _state(each)
                known.append((int(state["config-epoch"]), int(state["port"])))
        return max(known)[1]


@contextlib.contextmanager
def watched(
    directory: Path, tls: Tls | None = None, *, asking: str = "", **options: str
) -> Iterator[Watched]:
    """Run a master, a replica and three sentinels, and wait until each knows all the others.

    `requirepass` among the options is the password of the servers; `asking` is that of the sentinels.
    """
    with contextlib.ExitStack() as stack:
        servers = [RedisServer(directory, tls, **options) for _ in range(2)]
        sentinels = [RedisServer(directory, tls) for _ in range(3)]
        for each in (*servers, *sentinels):
            stack.callback(each.kill)
        master, replica = servers
        master.start()
        replica.start("--replicaof", f"127.0.0.1 {master.port}")
        until(lambda: "master_link_status:up" in replica.do("INFO", "replication"))
        lines = [f"sentinel auth-pass {MASTER} {master.password}"] if master.password else []
        for each in sentinels:
            each.password = asking
            path = directory / f"sentinel-{each.port}.conf"
            path.write_text(_sentinel(each, master.port, lines))
            each.start(str(path), "--sentinel")
        hurry(sentinels, "100")
        for each in sentinels:
            until(lambda each=each: _is_complete(each))  # type: ignore[misc]
        yield Watched(servers, sentinels)


def remembering(directory: Path, master: int, epoch: int) -> RedisServer:
    """Run a sentinel that knows no other one, and only the master of a failover long ago."""
    sentinel = RedisServer(directory)
    path = directory / f"sentinel-{sentinel.port}.conf"
    path.write_text(_sentinel(sentinel, master, [f"sentinel config-epoch {MASTER} {epoch}"]))
    return sentinel.start(str(path), "--sentinel")


def _sentinel(sentinel: RedisServer, master: int, more: Sequence[str]) -> str:
    lines = [
        *(f"{key} {value}" for key, value in sentinel.options.items()),
        f"sentinel monitor {MASTER} 127.0.0.1 {master} 2",
        f"sentinel down-after-milliseconds {MASTER} 400",
        f"sentinel failover-timeout {MASTER} 2000",
        *([f"requirepass {sentinel.password}"] if sentinel.password else []),
        *more,
    ]
    return "\n".join(lines) + "\n"


def _is_complete(sentinel: RedisServer) -> bool:
    """Return whether a sentinel knows the others, and a replica that it could promote."""
    replicas = [_named(each) for each in sentinel.do("SENTINEL", "REPLICAS", MASTER)]
    return _state(sentinel)["num-other-sentinels"] == "2" and [
        (each["flags"], each["master-link-status"]) for each in replicas
    ] == [("slave", "ok")]


def hurry(sentinels: Sequence[RedisServer], publishing_ms: str) -> None:
    """Let sentinels check their servers ten times as often as by default.

    After four times `publishing_ms` they demote a master that they did not elect.
    """
    # A replica is not promoted if its last answer is older than five times `ping-period`; that may be 1 s.
    words = ["publish-period", publishing_ms, "ping-period", "300", "slave-reconf-timeout", "500"]
    for name in ("info-period", "ask-period", "min-link-reconnect-period"):
        words += [name, "100"]
    for each in sentinels:
        each.do("SENTINEL", "DEBUG", *words)


def _state(sentinel: RedisServer) -> dict[str, str]:
    return _named(sentinel.do("SENTINEL", "MASTER", MASTER))


def _named(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
