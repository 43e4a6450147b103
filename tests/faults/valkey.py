"""The Valkey of a system under faults: alone, or a master with a replica and sentinels."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import redis

from faults.line import Line, to_sentinels
from faults.proxy import FaultProxy
from support import leftovers
from support.redis_sentinels import MASTER, Watched, hurry, watched
from support.redis_servers import valkey

_FAILOVER_SECONDS = 5.0


class Valkey(Protocol):
    """The Valkey that holds the feed."""

    @property
    def url(self) -> str:
        """Its URL, without a proxy."""
        ...

    @property
    def client(self) -> Any:
        """A client of the server that holds the keys now."""
        ...

    def line(self) -> Line:
        """Return a new line to it."""
        ...

    def kill(self) -> None:
        """kill -9."""
        ...

    def pause(self) -> None: ...

    def mend(self) -> None:
        """Resume it, or start it again with an empty memory, and wait until it works."""
        ...

    def unlimit(self) -> None:
        """Remove the memory limit of an eviction from every server: an earlier master may return."""
        ...

    def close(self) -> None: ...


class LoneValkey:
    """One Valkey without persistence, on a unix socket."""

    def __init__(self, directory: Path) -> None:
        self._mending = threading.Lock()
        self._directory = directory
        self._socket = directory / "v.sock"
        self.url = f"unix://{self._socket}"
        self.client: Any = redis.Redis(unix_socket_path=str(self._socket), socket_timeout=1)
        self._start()

    def line(self) -> Line:
        proxy = FaultProxy(str(self._socket))
        return Line(f"redis://127.0.0.1:{proxy.port}", proxy)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def mend(self) -> None:
        with self._mending:
            self._process.send_signal(signal.SIGCONT)
            if self._process.poll() is not None:
                self._start()

    def unlimit(self) -> None:
        _unlimit(self.client)

    def close(self) -> None:
        self.client.close()
        self.kill()

    def _start(self) -> None:
        options = {"port": "0", "unixsocket": str(self._socket), "save": "", "appendonly": "no",
                   "dir": str(self._directory), "logfile": str(self._directory / "valkey.log")}  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([valkey(), *words], stdout=subprocess.DEVNULL)
        leftovers.end_with_run(self._process.pid)


class WatchedValkey:
    """A master with a replica, and sentinels that promote the replica."""

    def __init__(self, directory: Path) -> None:
        self._mending = threading.Lock()
        self._stack = contextlib.ExitStack()
        self._all: Watched = self._stack.enter_context(watched(directory))
        self._clients = {
            each.port: redis.Redis(port=each.port, socket_timeout=1, socket_connect_timeout=1)
            for each in self._all.servers
        }

    @property
    def url(self) -> str:
        return self._all.url

    @property
    def client(self) -> Any:
        return self._clients[self._all.known_port()]

    def line(self) -> Line:
        ports = ([each.port for each in servers] for servers in (self._all.sentinels, self._all.servers))
        return to_sentinels(MASTER, *ports)

    def kill(self) -> None:
        self._all.master.kill()

    def pause(self) -> None:
        self._all.master.pause()

    async def fail_over(self, cause: Callable[[], object]) -> None:
        """Call `cause` and wait for another master; at most five seconds, as other faults may prevent it."""
        before = await asyncio.to_thread(self._all.known_port)
        await asyncio.to_thread(cause)
        await asyncio.to_thread(self._wait_for_another, before)

    def _wait_for_another(self, before: int) -> None:
        deadline = time.monotonic() + _FAILOVER_SECONDS
        while self._all.known_port() == before and time.monotonic() < deadline:
            time.sleep(0.05)

    def plan_failover(self) -> None:
        """Ask the sentinels for another master; they may be unable to comply."""
        with contextlib.suppress(redis.RedisError):
            # Else the other sentinels undo a failover that they did not vote for.
            hurry(self._all.sentinels, "1000")
            self._all.sentinels[0].do("SENTINEL", "FAILOVER", MASTER)

    def mend(self) -> None:
        with self._mending:
            self._all.mend()

    def unlimit(self) -> None:
        for each in self._clients.values():
            _unlimit(each)

    def close(self) -> None:
        for each in self._clients.values():
            each.close()
        self._stack.close()


def _unlimit(client: Any) -> None:
    with contextlib.suppress(redis.RedisError, OSError):  # a server that has just been started has no limit
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
