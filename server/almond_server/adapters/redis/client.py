"""A client for Redis or Valkey that waits at most two seconds for an answer, and follows the master.

With the driver's own defaults a command hangs for a minute on a silent server. Only background tasks may use
this client: a cancelled command costs its connection.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from almond_server.adapters.redis.discovery import ClusterMaster, SentinelMaster
from almond_server.config.redis_url import Address, Form, Node, parse
from almond_server.domain.feed import FeedGarbledError, FeedUnavailableError
from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from almond_server.adapters.redis.discovery import Master

T = TypeVar("T")

_CONNECT_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 2.0
BLOCK_MS: Final = 1000
"""How long a command may ask the server to wait for data; below the time limit of an answer."""

_GARBLED: Final = ("WRONGTYPE", "The ID specified in XADD", "exhausted the last possible ID")

# The driver's error for MOVED is an AskError.
_NOT_THE_MASTER: Final = (ReadOnlyError, AskError, ClusterError, TryAgainError)


class _LeavesReplica:
    """Mixin of connections: disconnects from a server which answers that it does not have the keys."""

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)  # type: ignore[misc]
        except _NOT_THE_MASTER as error:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise RedisConnectionError(f"not the master: {error}") from None


class _FindsMaster(_LeavesReplica):
    """Mixin of connections: finds the master at each connect, if sentinels or a cluster can be asked."""

    def __init__(self, *, master: Master | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._master = master

    async def connect(self) -> None:
        if self._master is not None and not self.is_connected:  # type: ignore[attr-defined]
            self.host, self.port = await self._master.find()
        await super().connect()  # type: ignore[misc]


class _Socket(_LeavesReplica, UnixDomainSocketConnection):
    pass


class _Plain(_FindsMaster, Connection):
    pass


class _Encrypted(_FindsMaster, SSLConnection):
    """A TLS connection with a shared context, because loading the authorities blocks the loop for 15 ms."""

    def __init__(self, *, context: Any, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = context


def client(url: str) -> Redis:
    """Return a client for a URL of `config.redis_url`; it connects when first used.

    Raises `StartError` for another URL, or if a file that TLS needs cannot be read.
    """
    address = parse(url)
    pool = ConnectionPool(**_with_limits(address.options), **_connection_options(address))
    # Closing this client closes its pool too.
    return Redis.from_pool(pool)


def _unchanged(reply: Any) -> Any:
    return reply


async def answer(command: Awaitable[Any], read: Callable[[Any], T] = _unchanged) -> T:
    """Await the reply to a command, and return what `read` makes of it.

    Raises `FeedUnavailableError` if there is none, or one that Redis never gives; `FeedGarbledError` if
    something else wrote to a key of the feed.
    """
    try:
        # The limit includes connecting and authenticating. A TimeoutError is an OSError.
        async with asyncio.timeout(_ANSWER_SECONDS):
            return read(await command)
    except (RedisError, OSError) as error:
        why = str(error) or "Redis does not answer"
        is_garbled = any(sign in why for sign in _GARBLED)
        raise (FeedGarbledError if is_garbled else FeedUnavailableError)(why) from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # The bytes are no reply of Redis, or none to this command: another service listens there, perhaps a
        # hostile one.
        raise FeedUnavailableError(f"no answer of a Redis ({type(error).__name__})") from None


def _with_limits(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **options,
        # Every server and every version of the driver gives the same replies in this protocol.
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": _CONNECT_SECONDS,
        # `answer` limits the time. The driver would use `asyncio.wait_for`, which up to Python 3.11 may
        # swallow a cancellation: the reading task could then not be stopped.
        "socket_timeout": None,
    }


def _connection_options(address: Address) -> dict[str, Any]:
    if address.form is Form.SOCKET:
        return {"connection_class": _Socket, "path": address.name}
    kind: dict[str, Any] = {"connection_class": _Plain}
    if address.is_encrypted:
        kind = {"connection_class": _Encrypted, "context": _tls_context(address)}
    if address.form is Form.SERVER:
        ((host, port),) = address.nodes
        return {**kind, "host": host, "port": port}
    return {**kind, "master": _master(address, **kind)}


def _master(address: Address, connection_class: type[Connection], **kind: Any) -> Master:
    def connection_to(options: Mapping[str, Any], node: Node) -> Connection:
        host, port = node
        return connection_class(host=host, port=port, decode_responses=True, **kind, **_with_limits(options))

    if address.form is Form.SENTINEL:
        return SentinelMaster(address.nodes, address.name, partial(connection_to, address.sentinel_options))
    return ClusterMaster(address.nodes, partial(connection_to, address.options))


def _tls_context(address: Address) -> Any:
    try:
        context = SSLConnection(**_with_limits(address.options)).ssl_context
        # Load the files now, and not at the first connection. An ssl.SSLError is an OSError.
        context.get()
    except (OSError, ValueError, TypeError):
        raise StartError(
            "ALMOND_REDIS_URL: a file of ssl_ca_certs, ssl_certfile or ssl_keyfile cannot be read, or does "
            "not hold what it should."
        ) from None
    return context
