"""The feed in Redis or Valkey: one capped stream that every server appends to and reads.

Reading and publishing have connections of their own, and nothing here waits longer than two seconds: the
driver's own defaults hang for a minute on a silent server.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from almond_server.adapters import feed_entry
from almond_server.errors import StartError
from almond_server.ports import FeedUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from almond_server.ports import Change

STREAM: Final = "{almond}:changes"
"""The braces keep all of Almond's keys in one slot of a cluster."""

_MAX_ENTRIES: Final = 10_000
_CONNECT_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 2.0
_BLOCK_MS: Final = 1000  # below _ANSWER_SECONDS
_WARN_SECONDS: Final = 60.0
_SAFE_POLICY: Final = "noeviction"
_START: Final = b"0-0"

log = structlog.get_logger()


class RedisFeed:
    """Implements `ports.Feed`."""

    def __init__(self, url: str, feed_key: bytes) -> None:
        """Take a redis://, rediss:// or unix:// URL, which may hold a password, and the key of the proofs.

        Connects when first used. Raises `StartError` for a URL of another form.
        """
        self._feed_key = feed_key
        self._publishing = _client(url)
        self._reading = _client(url)
        self._warned_at: float | None = None
        self._policy = _SAFE_POLICY

    async def publish(self, epoch: str, change: Change) -> None:
        """Append a change for all readers; raises `FeedUnavailableError`."""
        entry: Any = feed_entry.encode(self._feed_key, epoch, change)
        await _answer(self._publishing.xadd(STREAM, entry, maxlen=_MAX_ENTRIES, approximate=True))

    async def changes(self) -> AsyncIterator[tuple[str, Change]]:
        """Yield (epoch, change) as they are appended, genuine ones only; ends with `FeedUnavailableError`."""
        last = await self._newest_id()
        await self._look_at_policy()
        while True:
            # Never from `$`: it would skip what is appended between two calls.
            answer: Any = await _answer(self._reading.xread({STREAM: last}, block=_BLOCK_MS))
            if not answer:
                last = await self._still_there(last)
                continue
            for entry_id, fields in answer[0][1]:
                last = entry_id
                heard = feed_entry.decode(self._feed_key, fields)
                if heard is None:
                    self._warn(entry_id)
                else:
                    yield heard

    async def close(self) -> None:
        """Let go of connections; what still uses them ends with `FeedUnavailableError`."""
        await self._reading.aclose()
        await self._publishing.aclose()

    async def _still_there(self, last: bytes) -> bytes:
        # A stream that was flushed, or is another server's, may go on with lower ids: then read all of it.
        return last if _order(await self._newest_id()) >= _order(last) else _START

    async def _newest_id(self) -> bytes:
        newest: Any = await _answer(self._reading.xrevrange(STREAM, count=1))
        return bytes(newest[0][0]) if newest else _START

    async def _look_at_policy(self) -> None:
        try:
            memory: Any = await _answer(self._reading.info("memory"))
        except FeedUnavailableError:  # INFO may be forbidden; a server that is down shows at the next command
            return
        policy, before = str(memory.get("maxmemory_policy", _SAFE_POLICY)), self._policy
        self._policy = policy
        if policy not in {_SAFE_POLICY, before}:
            log.warning("feed.may_evict", policy=policy, advice="set maxmemory-policy to noeviction")

    def _warn(self, entry_id: bytes) -> None:
        now = time.monotonic()
        if self._warned_at is None or now - self._warned_at >= _WARN_SECONDS:
            self._warned_at = now
            log.warning("feed.entry_rejected", entry=entry_id.decode(), stream=STREAM)


def _client(url: str) -> Redis:
    try:
        pool = ConnectionPool.from_url(url)
    except ValueError:  # its text may hold part of the password
        raise StartError("ALMOND_REDIS_URL: redis://, rediss:// or unix:// and what belongs to it.") from None
    pool.connection_kwargs.update(  # above what the URL's query may say
        decode_responses=False,
        protocol=2,  # the same answers from every server and every version of the driver
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=_CONNECT_SECONDS,
        # `_answer` has the time limit. The driver's own is kept with `asyncio.wait_for`, which up to Python
        # 3.11 may swallow a cancellation: the reading task could then not be stopped.
        socket_timeout=None,
    )
    return Redis.from_pool(pool)  # closes the pool with it


async def _answer(command: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):  # connecting and greeting included
            return await command
    except (RedisError, OSError) as error:  # TimeoutError is an OSError
        raise FeedUnavailableError(str(error) or "Redis does not answer") from None


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, count = entry_id.partition(b"-")
    return int(milliseconds), int(count)
