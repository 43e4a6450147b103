"""A real Redis cluster on loopback."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import redis
from redis.crc import key_slot

from support.ports import free_port
from support.redis_servers import RedisServer, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SLOT: Final = key_slot(b"{almond}")
_SLOTS: Final = 16_384


@dataclass(frozen=True)
class Cluster:
    """Three masters that share all slots, without replicas."""

    nodes: Sequence[RedisServer]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(each.address for each in self.nodes)}"

    @property
    def owner(self) -> RedisServer:
        """The node that has the feed's keys, by its own answer."""
        return next(each for each in self.nodes if has_slot(each, SLOT))

    @property
    def others(self) -> list[RedisServer]:
        return [each for each in self.nodes if each is not self.owner]


@contextlib.contextmanager
def clustered(directory: Path, **options: str) -> Iterator[Cluster]:
    """Run three masters that form a cluster with all slots."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(3):
            node = RedisServer(directory, None, cluster_port=str(free_port()), cluster_enabled="yes",
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
    """Return whether a node sees a complete cluster."""
    return "cluster_state:ok" in node.do("CLUSTER", "INFO")


def has_slot(node: RedisServer, slot: int) -> bool:
    """Return whether a node says that it has a slot itself."""
    with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
        own = node.do("CLUSTER", "MYID")
        return any(
            first <= slot <= last and owner[2] == own
            for first, last, owner, *_ in node.do("CLUSTER", "SLOTS")
        )
    return False
