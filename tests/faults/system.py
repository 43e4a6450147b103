"""A system to inject faults into: a store, one Valkey or more, and servers that reach both by proxies."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from almond_server.data_dir import master_key
from almond_server.data_dir.paths import admin_token
from almond_server.data_dir.paths import master_key as master_key_in
from almond_server.ops.bootstrap import init
from faults.history import HeldToken
from faults.kinds import Kind
from faults.line import to_postgres
from faults.node import Node
from faults.valkey import LoneValkey, Valkey, WatchedValkey
from support.postgres import PostgresServer
from support.service import Metadata, bearer

MAX_STALENESS = 0.5
POLL_SECONDS = 0.1
GRACE_SECONDS = 1
_SWITCH_SECONDS = 0.0005
_ORPHANS_SECONDS = GRACE_SECONDS + 10.0
_FLAGS = {"--max-staleness": MAX_STALENESS, "--poll-interval": POLL_SECONDS, "--grace": GRACE_SECONDS,
          "--presented-per-minute": 1_000_000, "--metrics-address": ""}  # fmt: skip


@dataclass
class SystemUnderTest:
    """Everything that runs, and how to start it again."""

    kind: Kind
    valkey: Valkey
    postgres: PostgresServer | None
    database_url: str
    nodes: list[Node]
    feed_key: bytes
    without: str
    live: list[HeldToken] = field(default_factory=list)
    """Tokens that no client ever revokes."""

    _is_closed: bool = False

    @property
    def admin(self) -> str:
        return admin_token(self.nodes[0].data_dir).read_text().strip()

    @property
    def as_admin(self) -> Metadata:
        return bearer(self.admin)

    @property
    def location(self) -> Path | str:
        """Where the store is, without a proxy."""
        return self.database_url or self.nodes[0].data_dir / "almond.db"

    def start(self, node: Node) -> None:
        """Start a server that does not run."""
        if not node.processes.is_running and not self._is_closed:
            node.start([str(word) for flag in _FLAGS.items() for word in flag], self.without)

    async def heal(self) -> bool:
        """Undo every fault that is left; returns whether all workers of a killed parent ended too."""
        for node in self.nodes:
            node.redis.heal()
            if node.store is not None:
                node.store.heal()
            node.processes.resume()
        have_ended = True
        for node in self.nodes:
            have_ended &= await self.without_orphans(node)
            self.start(node)
        await asyncio.to_thread(self.valkey.mend)
        await asyncio.to_thread(self.valkey.unlimit)
        return have_ended

    async def without_orphans(self, node: Node) -> bool:
        """Wait until the workers of a killed parent have ended; returns whether they did in time."""
        deadline = time.monotonic() + _ORPHANS_SECONDS
        while node.processes.orphans:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def close(self) -> None:
        """End everything; from now on `start` does nothing."""
        self._is_closed = True
        for node in self.nodes:
            await node.close()
        self.valkey.close()


@contextlib.asynccontextmanager
async def system_under_test(
    directory: Path,
    kind: Kind,
    postgres: PostgresServer | None,
    without: str = "",
    *,
    own_clock: bool = False,
) -> AsyncIterator[SystemUnderTest]:
    """Run a system in `directory`, on SQLite or on a database of its own in a PostgreSQL.

    `without` names a guard to take out of every server. With `own_clock` the first server has a clock that
    can be set.
    """
    url = "" if postgres is None else await asyncio.to_thread(postgres.new_database)
    numbers = range(kind.servers)
    data_dirs = [directory / ("data" if postgres is None else f"data{index}") for index in numbers]
    for data_dir in data_dirs:
        data_dir.mkdir(exist_ok=True)
    await init(data_dirs[0], url or None)
    for data_dir in data_dirs[1:]:
        if data_dir != data_dirs[0]:
            shutil.copy(master_key_in(data_dirs[0]), master_key_in(data_dir))
    switch_interval = sys.getswitchinterval()
    # Proxies are threads: each piece of a statement would wait up to ten times longer for this loop.
    sys.setswitchinterval(_SWITCH_SECONDS)
    make = WatchedValkey if kind.has_sentinels else LoneValkey
    valkey: Valkey = await asyncio.to_thread(make, directory)
    system = SystemUnderTest(kind, valkey, postgres, url, [], _feed_key(data_dirs[0]), without)
    try:
        for index, data_dir in enumerate(data_dirs):
            store = to_postgres(url, postgres.port) if postgres is not None else None
            has_own_clock = own_clock and index == 0
            node = Node(
                index, data_dir, valkey.line(), store, workers=kind.workers, has_own_clock=has_own_clock
            )
            system.nodes.append(node)
            system.start(node)
        yield system
    finally:
        await system.close()
        sys.setswitchinterval(switch_interval)


def _feed_key(data_dir: Path) -> bytes:
    return master_key.feed_key(master_key.read(master_key_in(data_dir)))
