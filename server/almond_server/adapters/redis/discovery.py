"""Which server has the feed's keys now: its sentinels are asked, or the nodes of its cluster.

All of them at once, at every new connection: the driver's own clients ask one after the other, so that one
silent sentinel would use up the time of every attempt. All keys are in one slot of a cluster, so one
connection does there too; an error that says the keys have moved ends it (`redis_client.py`).
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
"""What every key begins with: it keeps them all in one slot of a cluster."""

_SLOT: Final = key_slot(HASH_TAG.encode())
_ANSWER_SECONDS: Final = 0.7  # with what it takes to connect then, below the time limit of an answer


class Master(Protocol):
    """Where the server with the keys is."""

    async def find(self) -> Node:
        """Return it as far as it is known now; raises `RedisError` within a second if it is not."""
        ...


class SentinelMaster:
    """The server that sentinels watch under a name."""

    def __init__(self, sentinels: Sequence[Node], name: str, connect: Callable[[Node], Connection]) -> None:
        """Take whom to ask, for what, and how to make a connection."""
        self._sentinels = sentinels
        self._name = name
        self._connect = connect

    async def find(self) -> Node:
        """Return where it is after the newest failover that any of the sentinels knows of."""
        found: list[tuple[int, Node]] = []
        for _, said in await _ask_all(self._sentinels, self._connect, "SENTINEL", "MASTER", self._name):
            try:
                state = dict(zip(said[::2], said[1::2], strict=True))
                found.append((int(state["config-epoch"]), (str(state["ip"]), int(state["port"]))))
            except (TypeError, ValueError, KeyError):
                continue
        if not found:
            raise RedisConnectionError("no sentinel knows the master")
        return max(found)[1]


class ClusterMaster:
    """The node of a cluster that has the feed's slot."""

    def __init__(self, nodes: Sequence[Node], connect: Callable[[Node], Connection]) -> None:
        """Take whom to ask, and how to make a connection."""
        self._nodes = nodes
        self._connect = connect

    async def find(self) -> Node:
        """Return who has the slot as most of those nodes say, as they hear of changes one by one."""
        votes: Counter[Node] = Counter()
        for (asked, _), said in await _ask_all(self._nodes, self._connect, "CLUSTER", "SLOTS"):
            try:
                owners = [owner for first, last, owner, *_ in said if first <= _SLOT <= last]
                # A node that knows no name for itself means: where you found me.
                votes.update((str(host or asked), int(port)) for host, port, *_ in owners if host != "?")
            except (TypeError, ValueError):
                continue
        if not votes:
            raise RedisConnectionError("no node of the cluster knows who has the feed's slot")
        return votes.most_common(1)[0][0]


async def _ask_all(
    nodes: Sequence[Node], connect: Callable[[Node], Connection], *command: str
) -> list[tuple[Node, Any]]:
    answers = await asyncio.gather(*(_ask(connect(node), *command) for node in nodes))
    return [(node, said) for node, said in zip(nodes, answers, strict=True) if said is not None]


async def _ask(connection: Connection, *command: str) -> Any:
    """Return the answer on a connection of its own, which nobody gets after that; None if there is none."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command(*command)
            return await connection.read_response()
    except (RedisError, OSError):  # TimeoutError is an OSError
        return None
    finally:
        await connection.disconnect(nowait=True)
