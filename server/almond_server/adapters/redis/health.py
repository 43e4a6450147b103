"""The health of a Redis or Valkey, for its operator: does it answer, take writes, and keep its keys."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

import structlog

from almond_server.adapters.redis.client import answer
from almond_server.domain.feed import FeedGarbledError, FeedState, FeedUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

_SAFE_POLICY: Final = "noeviction"
_WORD: Final = re.compile(r"[a-z-]{1,32}")
_SLOWER: Final = "servers learn of each other's revocations at their next poll of the store"

log = structlog.get_logger()


class RedisHealth:
    """The state of a Redis, as the latest reads and writes of the feed left it."""

    def __init__(self) -> None:
        """Start as not read yet."""
        self._is_read = False
        self._is_written = True
        self._policy: str | None = _SAFE_POLICY

    def state(self, rejected: int) -> FeedState:
        """Return the state for metrics; `rejected` counts entries that were not genuine."""
        return FeedState(self._is_read, self._is_written, self._policy != _SAFE_POLICY, rejected)

    @property
    def problem(self) -> str | None:
        """The worst problem as one ASCII sentence, without any address or key; None if there is none."""
        if not self._is_read:
            return f"Redis does not answer: {_SLOWER}"
        if not self._is_written:
            return f"Redis takes no writes: {_SLOWER}"
        if self._policy is None:
            return "Redis does not say whether it may drop keys: allow INFO to this server's user"
        if self._policy != _SAFE_POLICY:
            return f"Redis may drop keys (maxmemory-policy {self._policy}): set it to {_SAFE_POLICY}"
        return None

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Record the outcome of the read in this block."""
        try:
            yield
        except FeedUnavailableError as error:
            # A garbled feed is an answer too.
            self._is_read = isinstance(error, FeedGarbledError)
            raise
        self._is_read = True

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Record the outcome of the write in this block."""
        try:
            yield
        except FeedUnavailableError as error:
            self._is_written = isinstance(error, FeedGarbledError)
            raise
        self._is_written = True

    async def check_policy(self, redis: Redis) -> None:
        """Read the eviction policy; log a warning about one that may evict keys, once until it changes.

        Raises nothing: INFO may be forbidden, and the next command shows whether the server is down.
        """
        try:
            reported = await answer(redis.info("memory"), lambda reply: str(reply.get("maxmemory_policy")))
        except FeedUnavailableError:
            self._policy = None
            return
        self._is_read = True
        # Everyone can read it in the health answer: so it is one plain word, whatever the server reports.
        policy, before = reported if _WORD.fullmatch(reported) else "unknown", self._policy
        self._policy = policy
        if policy not in {_SAFE_POLICY, before}:
            log.warning("feed.may_evict", policy=policy, advice=f"set maxmemory-policy to {_SAFE_POLICY}")
        elif before not in {policy, None}:
            log.info("feed.evicts_no_more", policy=policy)
