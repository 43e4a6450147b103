"""What is known of a Redis or Valkey that its operator should hear of: is it there, may it drop keys."""

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
_SLOWER: Final = "servers hear of each other's revocations at their next poll of the store"

log = structlog.get_logger()


class RedisHealth:
    """Filled in by who reads the feed and by who writes to it."""

    def __init__(self) -> None:
        """Know nothing yet: it was not reached."""
        self._is_read = False
        self._is_written = True
        self._policy: str | None = _SAFE_POLICY

    def state(self, rejected: int) -> FeedState:
        """Return it in figures, with those of what was read."""
        return FeedState(self._is_read, self._is_written, self._policy != _SAFE_POLICY, rejected)

    @property
    def problem(self) -> str | None:
        """Say what is wrong, the worst first; None if nothing is. Names neither an address nor a key."""
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
        """Note how the read in this block ends."""
        try:
            yield
        except FeedUnavailableError as error:
            self._is_read = isinstance(error, FeedGarbledError)  # it answers, though with what is not ours
            raise
        self._is_read = True

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Note how the write in this block ends."""
        try:
            yield
        except FeedUnavailableError as error:
            self._is_written = isinstance(error, FeedGarbledError)
            raise
        self._is_written = True

    async def check_policy(self, redis: Redis) -> None:
        """Look at the eviction policy; warn of one that may drop keys, once until it has changed.

        Raises nothing: INFO may be forbidden, and a server that is down shows at the next command.
        """
        try:
            told = await answer(redis.info("memory"), lambda reply: str(reply.get("maxmemory_policy")))
        except FeedUnavailableError:
            self._policy = None
            return
        self._is_read = True
        # Health shows it to everybody: a word, whatever somebody else's server says.
        policy, before = told if _WORD.fullmatch(told) else "unknown", self._policy
        self._policy = policy
        if policy not in {_SAFE_POLICY, before}:
            log.warning("feed.may_evict", policy=policy, advice=f"set maxmemory-policy to {_SAFE_POLICY}")
        elif before not in {policy, None}:
            log.info("feed.evicts_no_more", policy=policy)
