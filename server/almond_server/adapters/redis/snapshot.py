"""The snapshot in Redis or Valkey: chunks that never change, and a head with their name and revision."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

from almond_server.adapters.redis import replies
from almond_server.adapters.redis.client import answer
from almond_server.adapters.redis.codec import Head
from almond_server.domain.feed import FeedGarbledError, FeedUnavailableError, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from redis.asyncio import Redis

    from almond_server.adapters.redis.codec import Codec
    from almond_server.domain.feed import RevocationPage

_WRITING_SECONDS: Final = 3600
_READING_SECONDS: Final = 60

_T = TypeVar("_T")


class RedisSnapshot:
    """The snapshot of the feed. It is always complete, because the head is written after all its chunks."""

    def __init__(self, redis: Redis, codec: Codec, prefix: str) -> None:
        """Store snapshots in `redis`, encoded by `codec`, under keys that begin with `prefix`."""
        self._redis = redis
        self._codec = codec
        self.key = f"{prefix}:snapshot"

    async def find(self) -> Snapshot | None:
        """Return the snapshot; None if there is none or its head is not genuine."""
        head = await self._read_head()
        return None if head is None else Snapshot(head.number, head.mark, self._pages(head), head.chunks)

    async def publish(self, snapshot: Snapshot) -> None:
        """Write a snapshot, and let the chunks of the previous one expire."""
        previous = await self._read_head()
        name, chunks = secrets.token_hex(8), 0
        async for page in snapshot.pages:
            fields: Any = self._codec.chunk(_position(name, chunks, snapshot.number), page)
            async with self._redis.pipeline() as commands:
                _ = commands.hset(self._chunk(name, chunks), mapping=fields)
                # If no head ever names the chunk, it expires.
                _ = commands.expire(self._chunk(name, chunks), _WRITING_SECONDS)
                await answer(commands.execute())
            chunks += 1
        for index in range(chunks):
            await answer(self._redis.persist(self._chunk(name, index)))
        head: Any = self._codec.head(Head(name, snapshot.number, snapshot.mark, chunks))
        async with self._redis.pipeline() as commands:
            _ = commands.delete(self.key)
            _ = commands.hset(self.key, mapping=head)
            await answer(commands.execute())
        await self._expire_chunks(previous)

    async def drop(self) -> None:
        """Delete the head, genuine or not, and let the chunks expire."""
        head = await self._unless_garbled(self._read_head())
        await answer(self._redis.delete(self.key))
        await self._expire_chunks(head)

    async def salvage(self) -> AsyncIterator[RevocationPage]:
        """Yield the entries of every genuine chunk, even if others are missing."""
        head = await self._unless_garbled(self._read_head())
        if head is None:
            return
        for index in range(head.chunks):
            page = await self._unless_garbled(self._read_chunk(head, index))
            if page is not None:
                yield page

    @staticmethod
    async def _unless_garbled(read: Awaitable[_T | None]) -> _T | None:
        try:
            return await read
        except FeedGarbledError:
            return None

    async def _expire_chunks(self, head: Head | None) -> None:
        if head is None:
            return
        # Servers that are reading them have time to finish.
        for index in range(head.chunks):
            await answer(self._redis.expire(self._chunk(head.name, index), _READING_SECONDS))

    async def _read_head(self) -> Head | None:
        fields: Any = self._redis.hgetall(self.key)
        return self._codec.read_head(await answer(fields, replies.fields))

    async def _pages(self, head: Head) -> AsyncIterator[RevocationPage]:
        for index in range(head.chunks):
            page = await self._read_chunk(head, index)
            if page is None:
                raise FeedUnavailableError("a chunk of the snapshot is missing or not genuine")
            yield page

    async def _read_chunk(self, head: Head, index: int) -> RevocationPage | None:
        fields: Any = self._redis.hgetall(self._chunk(head.name, index))
        position = _position(head.name, index, head.number)
        return self._codec.read_chunk(position, await answer(fields, replies.fields))

    def _chunk(self, name: str, index: int) -> str:
        return f"{self.key}:{name}:{index}"


def _position(name: str, index: int, number: int) -> str:
    return f"{name}/{index} of {number}"
