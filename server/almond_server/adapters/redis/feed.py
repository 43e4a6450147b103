"""The feed in Redis or Valkey: a stream of changes, one of heartbeats, and a list of challenges to the relay.

Entry ids in the stream of changes are `REVISION-PART` (`change_parts.py`). A script appends an entry only
right after its predecessor, so that any server may append what it has read from the store.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from almond_server.adapters.redis import replies
from almond_server.adapters.redis.change_parts import LAST, Assembly, split
from almond_server.adapters.redis.client import BLOCK_MS, answer, client
from almond_server.adapters.redis.codec import Codec
from almond_server.adapters.redis.discovery import HASH_TAG
from almond_server.adapters.redis.health import RedisHealth
from almond_server.adapters.redis.snapshot import RedisSnapshot
from almond_server.domain.feed import FeedGarbledError, FeedState, Heartbeat, RevocationPage, Snapshot, Tail
from almond_server.domain.revocations import Change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from almond_server.adapters.redis.change_parts import EntryId
    from almond_server.adapters.redis.codec import Fields

_MAX_ENTRIES: Final = 10_000
_MAX_HEARTBEATS: Final = 16
_MAX_CHALLENGES: Final = 1000
_NONCE_BYTES: Final = 8
_BATCH: Final = 100
_RESTART_SECONDS: Final = 1.0
"""How long `follow` reads on before it starts again at the view's own revision."""

_WARN_SECONDS: Final = 60.0
_KEY: Final = re.compile(rb"\{almond\}:([0-9a-f]{8}):")
"""A key of a feed. Others may have written keys that only look similar."""

_APPEND: Final = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last and last[1] ~= ARGV[1] then return last[1] end
if not last and ARGV[2] == '' then return '0-0' end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], ARGV[4], 'body', ARGV[5], 'proof', ARGV[6])
return ARGV[4]
"""
"""Appends an entry after the one with the id ARGV[1]; also to an empty stream, if ARGV[2] is not empty.

Returns the id of the newest entry afterwards: that of the appended entry, or of the one that prevented it.
"""

_T = TypeVar("_T")

log = structlog.get_logger()


class RedisFeed:
    """Implements `feed.Feed`."""

    def __init__(self, url: str, feed_key: bytes, epoch: str) -> None:
        """Prepare for a URL of `config.redis_url`, which may hold a password, and the key of the proofs.

        Connects when first used. Raises `StartError` for another URL.
        """
        prefix = f"{HASH_TAG}:{epoch}"
        self._codec = Codec(feed_key, epoch)
        self._writing = client(url)
        self._reading = client(url)
        self._snapshot = RedisSnapshot(self._writing, self._codec, prefix)
        self._changes, self._heartbeats, self._challenges = (
            f"{prefix}:{name}" for name in ("changes", "beats", "asked")
        )
        self._warned_at: float | None = None
        self._rejected = 0
        self._health = RedisHealth()

    @property
    def problem(self) -> str | None:
        """The current problem with the feed as one ASCII sentence for operators, or None."""
        return self._health.problem

    @property
    def state(self) -> FeedState:
        """The state of the feed for metrics."""
        return self._health.state(self._rejected)

    async def append(self, change: Change) -> bool:
        """Append a change, in parts if it is large, after its predecessor; return whether it is there now."""
        for before, entry_id, part in split(change):
            fields = self._codec.part(_id(entry_id), part)
            is_first = "yes" if before[0] < change.number else ""
            arguments: Any = (_id(before), is_first, _MAX_ENTRIES, _id(entry_id), *fields.values())
            script: Any = self._writing.eval(_APPEND, 1, self._changes, *arguments)
            if await answer(script, replies.entry_id) < entry_id:
                return False
            # A large change must not delay calls on the event loop.
            await asyncio.sleep(0)
        return True

    async def tail(self) -> Tail | None:
        """Return number and mark of the newest complete change, or None."""
        newest = await answer(self._writing.xrevrange(self._changes, count=1), replies.entries)
        if not newest:
            return None
        entry_id, fields = newest[0]
        part = self._codec.read_part(entry_id, fields)
        if part is None:
            raise FeedGarbledError("the newest change is not genuine")
        number, index = replies.entry_id(entry_id)
        return Tail(number, part.mark) if index == LAST else Tail(number - 1, part.before)

    async def restart(self) -> None:
        """Delete all changes, challenges, heartbeats and the snapshot."""
        await self._snapshot.drop()
        await answer(self._writing.delete(self._changes, self._heartbeats, self._challenges))

    async def challenge(self, nonce: bytes) -> None:
        """Publish a nonce, which the relay echoes in its next heartbeat."""
        async with self._writing.pipeline(transaction=False) as commands:
            _ = commands.rpush(self._challenges, nonce)
            _ = commands.ltrim(self._challenges, -_MAX_CHALLENGES, -1)
            with self._health.writing():
                await answer(commands.execute())

    async def pending_challenges(self) -> Sequence[bytes]:
        """Return and remove the published nonces."""
        popped: Any = self._writing.lpop(self._challenges, _MAX_CHALLENGES)
        nonces = await answer(popped, replies.strings)
        return [nonce for nonce in nonces[:_MAX_CHALLENGES] if len(nonce) == _NONCE_BYTES]

    async def send_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send a heartbeat to all readers."""
        fields: Any = self._codec.heartbeat(heartbeat)
        await answer(self._writing.xadd(self._heartbeats, fields, maxlen=_MAX_HEARTBEATS, approximate=False))

    async def follow(self, seen: Callable[[], int]) -> AsyncIterator[Change | Heartbeat | None]:
        """Yield changes and heartbeats, and None for what is not genuine or not complete."""
        while True:
            await self._health.check_policy(self._reading)
            # Start again and again at the view's own revision: whatever was flushed, restarted or written to
            # the end of the stream, the next iteration is right. Starting at `$` would skip entries.
            positions = {self._changes: _id((seen(), LAST)), self._heartbeats: "0-0"}
            assembly, ends = Assembly(), time.monotonic() + _RESTART_SECONDS
            while time.monotonic() < ends:
                streams: Any = positions
                with self._health.reading():
                    read = self._reading.xread(streams, count=_BATCH, block=BLOCK_MS)
                    entries = await answer(read, replies.streams)
                for stream, entry_id, fields in entries:
                    if stream not in positions:
                        yield self._genuine(entry_id, None)
                        continue
                    positions[stream] = entry_id
                    if stream == self._heartbeats:
                        yield self._genuine(entry_id, self._codec.read_heartbeat(fields))
                        continue
                    part = self._genuine(entry_id, self._codec.read_part(entry_id, fields))
                    number_and_index = replies.entry_id(entry_id)
                    change = None if part is None else assembly.add(number_and_index, part)
                    if part is None or number_and_index[1] == LAST:
                        yield change
                    else:
                        # A large change must not delay calls, nor be started again before it is complete.
                        ends = time.monotonic() + _RESTART_SECONDS
                        await asyncio.sleep(0)

    async def snapshot(self) -> Snapshot | None:
        """Return the newest snapshot."""
        return await self._snapshot.find()

    async def salvage(self) -> AsyncIterator[RevocationPage]:
        """Yield the genuine entries of the snapshot and of all changes."""
        async for page in self._snapshot.salvage():
            yield page
        after = "-"
        while entries := await self._after(after):
            for entry_id, fields in entries:
                after = f"({entry_id}"
                part = self._codec.read_part(entry_id, fields)
                if part is not None:
                    yield RevocationPage(part.revocations, part.cut_offs)

    async def publish_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        await self._snapshot.publish(snapshot)

    async def close(self) -> None:
        """Close the connections; methods that still use them raise `FeedUnavailableError`."""
        await self._reading.aclose()
        await self._writing.aclose()

    async def _after(self, entry_id: str) -> Sequence[tuple[str, Fields]]:
        try:
            read = self._writing.xrange(self._changes, entry_id, count=_BATCH)
            return await answer(read, replies.entries)
        except FeedGarbledError as error:
            log.warning("feed.garbled", why=str(error))
            return ()

    def _genuine(self, entry_id: str, decoded: _T | None) -> _T | None:
        if decoded is not None:
            return decoded
        self._rejected += 1
        now = time.monotonic()
        if self._warned_at is None or now - self._warned_at >= _WARN_SECONDS:
            self._warned_at = now
            log.warning("feed.entry_rejected", entry=entry_id, advice="something else writes to this Redis")
        return None


async def epochs(url: str) -> list[str]:
    """Return the epochs of which a Redis has changes or a snapshot; raises `FeedUnavailableError`."""
    redis, found, cursor = client(url), set[str](), 0
    try:
        while True:
            scan = redis.scan(cursor, match=f"{HASH_TAG}:*", count=1000)
            cursor, keys = await answer(scan, replies.page)
            found |= {match[1].decode() for key in keys if (match := _KEY.match(key))}
            if cursor == 0:
                return sorted(found)
    finally:
        await redis.aclose()


def _id(entry_id: EntryId) -> str:
    return f"{entry_id[0]}-{entry_id[1]}"
