"""A hostile server that speaks Redis' protocol: whatever it replies, the feed is unavailable and no worse."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from almond_server.adapters.redis.feed import RedisFeed, epochs
from almond_server.domain.feed import FeedUnavailableError, RevocationPage, Snapshot
from support.feeds import EPOCH, KEY, NONCE, beat, change, mark

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANGES = f"{{almond}}:{EPOCH}:changes".encode()


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(value), value)


def array(*values: bytes) -> bytes:
    return b"*%d\r\n" % len(values) + b"".join(values)


REPLIES = {
    "ok": b"+OK\r\n",
    "a number": b":5\r\n",
    "a word": bulk(b"word"),
    "nothing": b"$-1\r\n",
    "no list": b"*-1\r\n",
    "numbers": array(b":1\r\n", b":2\r\n"),
    "words": array(bulk(b"one"), bulk(b"two")),
    "pairs of numbers": array(array(b":1\r\n", b":2\r\n")),
    "an entry without fields": array(array(bulk(b"1-1"), b"$-1\r\n")),
    "an entry with half a field": array(array(bulk(b"1-1"), array(bulk(b"body")))),
    "an entry whose id is none": array(array(bulk(b"x-y"), array(bulk(b"body"), bulk(b"{}")))),
    "an entry of numbers": array(array(bulk(b"1-1"), array(b":1\r\n", b":2\r\n"))),
    "an unknown stream": array(
        array(bulk(b"other"), array(array(bulk(b"1-1"), array(bulk(b"body"), bulk(b"{}")))))
    ),
    "a stream of no entries": array(array(bulk(CHANGES), b"*-1\r\n")),
    "a stream of words": array(array(bulk(CHANGES), array(bulk(b"1-1")))),
    "bytes that are no text": array(array(bulk(b"\xff"), array(array(bulk(b"\xff-1"), array())))),
    "a page whose cursor is a list": array(array(), array()),
    "lists in lists": b"*1\r\n" * 200 + b":1\r\n",
}


@contextlib.asynccontextmanager
async def replying(reply: bytes) -> AsyncIterator[str]:
    """Reply the same to every command, and answer the greeting as Redis does."""

    connections = set[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while True:
                words = [await _word(reader) for _ in range(int((await reader.readuntil(b"\n"))[1:]))]
                is_greeting = words[0].upper() in {b"CLIENT", b"HELLO", b"SELECT"}
                writer.write(b"+OK\r\n" if is_greeting else reply)
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for each in connections:
            each.close()
            with contextlib.suppress(OSError):
                await each.wait_closed()


async def _word(reader: asyncio.StreamReader) -> bytes:
    size = int((await reader.readuntil(b"\n"))[1:])
    return (await reader.readexactly(size + 2))[:-2]


async def _first(feed: RedisFeed) -> Any:
    async with contextlib.aclosing(feed.follow(lambda: 0)) as heard:  # type: ignore[type-var]
        return await anext(heard)


async def _all(pages: AsyncIterator[RevocationPage]) -> list[RevocationPage]:
    return [page async for page in pages]


async def _kept(feed: RedisFeed) -> None:
    async def pages() -> AsyncIterator[RevocationPage]:
        yield RevocationPage(change(1).revocations)

    await feed.publish_snapshot(Snapshot(1, mark(1), pages()))


ASKING: dict[str, Callable[[RedisFeed], Awaitable[Any]]] = {
    "append": lambda feed: feed.append(change(1)),
    "tail": lambda feed: feed.tail(),
    "restart": lambda feed: feed.restart(),
    "ask": lambda feed: feed.challenge(NONCE),
    "asked": lambda feed: feed.pending_challenges(),
    "beat": lambda feed: feed.send_heartbeat(beat(1)),
    "follow": _first,
    "snapshot": lambda feed: feed.snapshot(),
    "recall": lambda feed: _all(feed.salvage()),
    "keep": _kept,
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_no_reply_is_more_than_no_answer(reply: bytes) -> None:
    nothing: Sequence[Any] = (None, False, [])
    async with replying(reply) as url:
        feed = RedisFeed(url, KEY, EPOCH)
        for what, ask in ASKING.items():
            with contextlib.suppress(FeedUnavailableError, TimeoutError):
                async with asyncio.timeout(0.2):
                    told = await ask(feed)
                    assert told in nothing or what == "append", what
        await feed.close()
        with contextlib.suppress(FeedUnavailableError, TimeoutError):
            async with asyncio.timeout(0.2):
                assert await epochs(url) == []
