"""A connection to Redis or Valkey that waits for nothing longer than two seconds, and goes after the master.

The driver's own defaults hang for a minute on a silent server. Background tasks alone may use it: a call that
is cancelled costs its connection.
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
"""How long a call may ask the server to wait; below the time limit of an answer."""

_GARBLED: Final = ("WRONGTYPE", "The ID specified in XADD", "exhausted the last possible ID")
_NOT_THE_MASTER: Final = (ReadOnlyError, AskError, ClusterError, TryAgainError)  # MOVED is an AskError


class _Leaving:
    """Ends a connection to a server that says it is not, or no longer, the one with the keys."""

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)  # type: ignore[misc]
        except _NOT_THE_MASTER as error:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise RedisConnectionError(f"not the master: {error}") from None


class _Found(_Leaving):
    """Looks for the master whenever it connects, if there is somebody to ask."""

    def __init__(self, *, master: Master | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._master = master

    async def connect(self) -> None:
        if self._master is not None and not self.is_connected:  # type: ignore[attr-defined]
            self.host, self.port = await self._master.find()
        await super().connect()  # type: ignore[misc]


class _Socket(_Leaving, UnixDomainSocketConnection):
    pass


class _Plain(_Found, Connection):
    pass


class _Encrypted(_Found, SSLConnection):
    """Takes what it trusts from another: reading the authorities anew takes the loop 15 ms each time."""

    def __init__(self, *, trust: Any, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = trust


def client(url: str) -> Redis:
    """Return a client for a URL of `redis_address`; connects when first used.

    Raises `StartError` for another URL, or if a file that TLS needs cannot be read.
    """
    address = parse(url)
    pool = ConnectionPool(**_limited(address.options), **_where(address))
    return Redis.from_pool(pool)  # closes the pool with it


def _as_it_is(reply: Any) -> Any:
    return reply


async def answer(command: Awaitable[Any], read: Callable[[Any], T] = _as_it_is) -> T:
    """Await a command's answer and read it.

    Raises `FeedUnavailableError`, also where the reply is of a form that Redis never gives;
    `FeedGarbledError` if a key is not ours.
    """
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):  # connecting and greeting included
            return read(await command)
    except (RedisError, OSError) as error:  # TimeoutError is an OSError
        why = str(error) or "Redis does not answer"
        raise (FeedGarbledError if any(sign in why for sign in _GARBLED) else FeedUnavailableError)(
            why
        ) from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # Bytes that are no answer of Redis, or none to this command: another service listens there, or one
        # that means no good.
        raise FeedUnavailableError(f"no answer of a Redis ({type(error).__name__})") from None


def _limited(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **options,
        "protocol": 2,  # the same answers from every server and every version of the driver
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": _CONNECT_SECONDS,
        # `answer` has the time limit. The driver's own is kept with `asyncio.wait_for`, which up to Python
        # 3.11 may swallow a cancellation: the reading task could then not be stopped.
        "socket_timeout": None,
    }


def _where(address: Address) -> dict[str, Any]:
    if address.form is Form.SOCKET:
        return {"connection_class": _Socket, "path": address.name}
    kind: dict[str, Any] = {"connection_class": _Plain}
    if address.is_encrypted:
        kind = {"connection_class": _Encrypted, "trust": _trust(address)}
    if address.form is Form.SERVER:
        ((host, port),) = address.nodes
        return {**kind, "host": host, "port": port}
    return {**kind, "master": _master(address, **kind)}


def _master(address: Address, connection_class: type[Connection], **kind: Any) -> Master:
    def connection_to(options: Mapping[str, Any], node: Node) -> Connection:
        host, port = node
        return connection_class(host=host, port=port, decode_responses=True, **kind, **_limited(options))

    if address.form is Form.SENTINEL:
        return SentinelMaster(address.nodes, address.name, partial(connection_to, address.sentinel_options))
    return ClusterMaster(address.nodes, partial(connection_to, address.options))


def _trust(address: Address) -> Any:
    try:
        trust = SSLConnection(**_limited(address.options)).ssl_context
        trust.get()  # now, and not at the first connection
    except (OSError, ValueError, TypeError):  # ssl.SSLError is an OSError
        raise StartError(
            "ALMOND_REDIS_URL: a file of ssl_ca_certs, ssl_certfile or ssl_keyfile cannot be read, or does "
            "not hold what it should."
        ) from None
    return trust
