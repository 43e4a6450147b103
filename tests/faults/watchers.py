"""Who watches a system under faults: two clients a server, one of all and one of an org, to the very end."""

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
from faults.watcher_log import Witness

_ORG = "acme"
_LONGEST_PAUSE = 0.5
"""Seconds between two attempts; those of other clients grow to five, for which rounds have no time."""


class Watchers:
    """Runs from entering to leaving. The token is the admin's, which nobody revokes."""

    def __init__(self, nodes: list[Node], admin: str, history: History) -> None:
        self._nodes = nodes
        self._admin = admin
        self._history = history
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self.witnesses: list[Witness] = []

    async def begin(self) -> None:
        """Begin to watch, from now on."""
        self._stack.enter_context(patch.object(watch, "_LONGEST_PAUSE", _LONGEST_PAUSE))
        for node in self._nodes:
            client = await self._stack.enter_async_context(AsyncClient(node.address, self._admin))
            for org in (None, _ORG):
                witness = Witness(f"the watcher of {org or 'all'} at server {node.index}", org, self._history)
                self.witnesses.append(witness)
                self._tasks.append(asyncio.create_task(self._watch(client, witness)))

    async def close(self) -> None:
        """Watch no longer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def know_all(self, since: float) -> bool:
        """Whether each was told all that was acknowledged, and that it is as of `since` or later."""
        newest = self._history.newest_number
        return all(
            each.number is not None and each.number >= newest and each.proven_at >= since
            for each in self.witnesses
        )

    def must_have_all(self) -> None:
        """Look whether all that was acknowledged was told."""
        for each in self.witnesses:
            each.must_have_all()

    @property
    def counts(self) -> Counter[str]:
        """How much they were told, and how often that they know all."""
        told = sum((each.number or 0) - each.first for each in self.witnesses)
        return Counter(told=told, heartbeats=sum(each.heartbeats for each in self.witnesses))

    async def _watch(self, client: AsyncClient, witness: Witness) -> None:
        watching = client.watch(pb.WatchRevocationsRequest(from_now=pb.FromNow(), org=witness.org))
        try:
            async for event in watching:
                self._take(event, watching, witness)
        except AlmondRpcError as error:
            self._history.refused(f"{witness.name}: {error}")

    def _take(self, event: object, watching: Watch, witness: Witness) -> None:
        at = time.monotonic()
        if isinstance(event, pb.WatchStarted):
            witness.began(event.revision)
        elif isinstance(event, pb.RevocationChange):
            witness.was_told(self._entries(event), event.revision, at)
        elif isinstance(event, pb.Heartbeat):
            witness.is_fresh_as_of(at - watching.age())

    def _entries(self, change: pb.RevocationChange) -> Iterator[str]:
        for each in change.withdrawals:
            yield f"{each.token_id}/{each.branch_id}" if each.HasField("branch_id") else each.token_id
        for cut_off in change.cut_offs:
            yield self._place(cut_off)

    def _place(self, cut_off: pb.CutOff) -> str:
        """Return what a cut-off is about, in the words of whoever asked for it."""
        scope = pb.CutOffScope.Name(cut_off.scope).removeprefix("CUT_OFF_SCOPE_").lower()
        for place in self._history.places:
            kind, _, name = place.partition(" ")
            said = hashlib.sha256(f"almond/v1/cut-off/{kind}/{name}".encode()).digest()[:16]
            if (kind, said) == (scope, cut_off.name_hash):
                return place
        return f"{scope} {cut_off.name_hash.hex()}"
