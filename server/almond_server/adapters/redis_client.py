"""A connection to Redis or Valkey that waits for nothing longer than two seconds.

The driver's own defaults hang for a minute on a silent server. Background tasks alone may use it: a call that
is cancelled costs its connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from almond_server.errors import StartError
from almond_server.fan_out import FeedGarbledError, FeedUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable

_CONNECT_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 2.0
BLOCK_MS: Final = 1000
"""How long a call may ask the server to wait; below the time limit of an answer."""

_GARBLED: Final = ("WRONGTYPE", "The ID specified in XADD", "exhausted the last possible ID")


def client(url: str) -> Redis:
    """Return a client for a redis://, rediss:// or unix:// URL; raises `StartError` for another form.

    Connects when first used.
    """
    try:
        off = MaintNotificationsConfig(enabled=False)
        pool = ConnectionPool.from_url(url, maint_notifications_config=off)
    except ValueError:  # its text may hold part of the password
        raise StartError("ALMOND_REDIS_URL: redis://, rediss:// or unix:// and what belongs to it.") from None
    pool.connection_kwargs.update(  # above what the URL's query may say
        decode_responses=False,
        # The same answers from every server and every version of the driver. With it the notifications above
        # are impossible, and left on they would refuse every TCP connection.
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=_CONNECT_SECONDS,
        # `answer` has the time limit. The driver's own is kept with `asyncio.wait_for`, which up to Python
        # 3.11 may swallow a cancellation: the reading task could then not be stopped.
        socket_timeout=None,
    )
    return Redis.from_pool(pool)  # closes the pool with it


async def answer(command: Awaitable[Any]) -> Any:
    """Await a command's answer; raises `FeedUnavailableError`, `FeedGarbledError` if a key is not ours."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):  # connecting and greeting included
            return await command
    except (RedisError, OSError) as error:  # TimeoutError is an OSError
        why = str(error) or "Redis does not answer"
        raise (FeedGarbledError if any(sign in why for sign in _GARBLED) else FeedUnavailableError)(
            why
        ) from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # What the driver makes of bytes that are no answer of Redis: another service listens there.
        raise FeedUnavailableError(f"no answer of a Redis ({type(error).__name__})") from None
