"""Finds the server that has the feed's keys, by asking sentinels or the nodes of a cluster.

Rules:

* All are asked at once, at every new connection. The driver's own clients ask one after the other, so that
  one silent sentinel would use up the time of every attempt.
* All keys are in one slot of a cluster, so that one connection is enough there too. An error which says that
  the keys have moved closes it (`client.py`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Connection

    from almond_server.config.redis_url import Node

HASH_TAG: Final = "{almond}"
"""The prefix of every key, which keeps all of them in one slot of a cluster."""

_SLOT: Final = key_slot(HASH_TAG.encode())
# With the time to connect to the master afterwards, this stays below the time limit of an answer.
_ANSWER_SECONDS: Final = 0.7


class Master(Protocol):
    """Finds the server that has the keys."""

    async def find(self) -> Node:
        """Return its host and port as known now; raises `RedisError` within a second if they are not."""
        ...


class SentinelMaster:
    """Finds the master that sentinels watch under a name."""

    def __init__(self, sentinels: Sequence[Node], name: str, connect: Callable[[Node], Connection]) -> None:
        """Ask `sentinels` for the master `name`, on connections that `connect` makes."""
        self._sentinels = sentinels
        self._name = name
        self._connect = connect

    async def find(self) -> Node:
        """Return the master after the newest failover that any of the sentinels reports."""
        found: list[tuple[int, Node]] = []
        for _, reply in await _ask_all(self._sentinels, self._connect, "SENTINEL", "MASTER", self._name):
            try:
                state = dict(zip(reply[::2], reply[1::2], strict=True))
                found.append((int(state["config-epoch"]), (str(state["ip"]), int(state["port"]))))
            except (TypeError, ValueError, KeyError):
                continue
        if not found:
            raise RedisConnectionError("no sentinel reports the master")
        return max(found)[1]


class ClusterMaster:
    """Finds the node of a cluster that has the feed's slot."""

    def __init__(self, nodes: Sequence[Node], connect: Callable[[Node], Connection]) -> None:
        """Ask `nodes`, on connections that `connect` makes."""
        self._nodes = nodes
        self._connect = connect

    async def find(self) -> Node:
        """Return the owner of the slot that most nodes report: they learn of a change at different times."""
        votes: Counter[Node] = Counter()
        for (asked, _), reply in await _ask_all(self._nodes, self._connect, "CLUSTER", "SLOTS"):
            try:
                owners = [owner for first, last, owner, *_ in reply if first <= _SLOT <= last]
                # A node that has no name for itself is at the address at which it was asked.
                votes.update((str(host or asked), int(port)) for host, port, *_ in owners if host != "?")
            except (TypeError, ValueError):
                continue
        if not votes:
            raise RedisConnectionError("no node of the cluster reports the owner of the feed's slot")
        return votes.most_common(1)[0][0]


async def _ask_all(
    nodes: Sequence[Node], connect: Callable[[Node], Connection], *command: str
) -> list[tuple[Node, Any]]:
    answers = await asyncio.gather(*(_ask(connect(node), *command) for node in nodes))
    return [(node, reply) for node, reply in zip(nodes, answers, strict=True) if reply is not None]


async def _ask(connection: Connection, *command: str) -> Any:
    """Return the reply to a command, or None if there is none. The connection is closed afterwards."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command(*command)
            return await connection.read_response()
    except (RedisError, OSError):
        # A TimeoutError is an OSError.
        return None
    finally:
        await connection.disconnect(nowait=True)
