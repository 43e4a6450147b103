"""The watchers of a system under faults: two clients a server, one of all orgs and one of one org."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

from almond.v1 import revocation_service_pb2 as pb
from almond_client import AlmondRpcError, AsyncClient, watch
from almond_client.watch import Watch
from faults.history import History
from faults.node import Node
from faults.watcher_log import WatcherLog

_ORG = "acme"
_LONGEST_PAUSE = 0.5
"""Seconds between two attempts; other clients wait for up to five, for which a round has no time."""


class Watchers:
    """Clients that watch every server from `begin` to `close`, with the admin's token, which stays live."""

    def __init__(self, nodes: list[Node], admin: str, history: History) -> None:
        self._nodes = nodes
        self._admin = admin
        self._history = history
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self.logs: list[WatcherLog] = []

    async def begin(self) -> None:
        """Start to watch, from now on."""
        self._stack.enter_context(patch.object(watch, "_LONGEST_PAUSE", _LONGEST_PAUSE))
        for node in self._nodes:
            client = await self._stack.enter_async_context(AsyncClient(node.address, self._admin))
            for org in (None, _ORG):
                name = f"the watcher of {org or 'all'} at server {node.index}"
                log = WatcherLog(name, org, self._history)
                self.logs.append(log)
                self._tasks.append(asyncio.create_task(self._watch(client, log)))

    async def close(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def have_all(self, since: float) -> bool:
        """Return whether each has all that was acknowledged, and a heartbeat as of `since` or later."""
        newest = self._history.newest_number
        return all(
            each.number is not None and each.number >= newest and each.proven_at >= since
            for each in self.logs
        )

    def expect_all(self) -> None:
        """Check that each received all that was acknowledged."""
        for each in self.logs:
            each.expect_all()

    @property
    def counts(self) -> Counter[str]:
        """How many changes and heartbeats they received."""
        received = sum((each.number or 0) - each.first for each in self.logs)
        return Counter(received=received, heartbeats=sum(each.heartbeats for each in self.logs))

    async def _watch(self, client: AsyncClient, log: WatcherLog) -> None:
        watching = client.watch(pb.WatchRevocationsRequest(from_now=pb.FromNow(), org=log.org))
        try:
            async for event in watching:
                self._receive(event, watching, log)
        except AlmondRpcError as error:
            self._history.add_refusal(f"{log.name}: {error.reason} {error}")

    def _receive(self, event: object, watching: Watch, log: WatcherLog) -> None:
        at = time.monotonic()
        if isinstance(event, pb.WatchStarted):
            log.start(event.revision)
        elif isinstance(event, pb.RevocationChange):
            log.add_change(self._entries(event), event.revision, at)
        elif isinstance(event, pb.Heartbeat):
            log.add_heartbeat(at - watching.age())

    def _entries(self, change: pb.RevocationChange) -> Iterator[str]:
        for each in change.withdrawals:
            yield f"{each.token_id}/{each.branch_id}" if each.HasField("branch_id") else each.token_id
        for cut_off in change.cut_offs:
            yield self._scope(cut_off)

    def _scope(self, cut_off: pb.CutOff) -> str:
        """Return the scope of a cut-off as the client that revoked it names it."""
        kind = pb.CutOffScope.Name(cut_off.scope).removeprefix("CUT_OFF_SCOPE_").lower()
        for scope in self._history.scopes:
            its_kind, _, name = scope.partition(" ")
            name_hash = hashlib.sha256(f"almond/v1/cut-off/{its_kind}/{name}".encode()).digest()[:16]
            if (its_kind, name_hash) == (kind, cut_off.name_hash):
                return scope
        return f"{kind} {cut_off.name_hash.hex()}"
