"""The feed in Redis while Redis is forged, garbled, flushed, restarted, silent or gone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from almond_server.adapters.redis import feed as redis_feed
from almond_server.adapters.redis.codec import ChangePart, Codec, Head
from almond_server.adapters.redis.feed import RedisFeed, epochs
from almond_server.domain.feed import FeedGarbledError, FeedUnavailableError, RevocationPage, Snapshot, Tail
from almond_server.domain.revocations import Change
from almond_server.errors import StartError
from support.feeds import EPOCH, KEY, NONCE, Listener, beat, change, mark
from support.samples import whole
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from almond_server.domain.revocations import Revocation
    from almond_server.ops.valkey_child import ValkeyChild

CHANGES, BEATS, ASKED = (f"{{almond}}:{EPOCH}:{name}" for name in ("changes", "beats", "asked"))
HEAD = f"{{almond}}:{EPOCH}:snapshot"
LAST = "1000000000"


@pytest.fixture
async def feed(valkey: ValkeyChild) -> AsyncIterator[RedisFeed]:
    made = RedisFeed(valkey.url, KEY, EPOCH)
    yield made
    await made.close()


@pytest.fixture
async def redis(valkey: ValkeyChild) -> AsyncIterator[Any]:
    client = Redis.from_url(valkey.url, protocol=2)
    yield client
    await client.aclose()


def fields(number: int, codec: Codec | None = None) -> dict[bytes, bytes]:
    made, writer = change(number), codec or Codec(KEY, EPOCH)
    return writer.part(f"{number}-{LAST}", ChangePart(made.mark, made.before, 1, made.revocations))


async def test_every_key_has_the_epoch_and_one_hash_tag(feed: RedisFeed, redis: Any) -> None:
    await feed.append(change(1))
    await feed.challenge(NONCE)
    await feed.send_heartbeat(beat(1))
    await feed.publish_snapshot(Snapshot(1, mark(1), _page([whole("a")])))
    keys = await redis.keys("*")
    assert len(keys) == 5
    assert all(key.startswith(f"{{almond}}:{EPOCH}:".encode()) for key in keys)


async def test_forged_moved_and_garbled_entries_are_told_of_and_never_taken(
    feed: RedisFeed, redis: Any
) -> None:
    genuine = fields(1)
    forged: list[dict[bytes, bytes]] = [
        fields(1, Codec(bytes(32), EPOCH)),
        fields(1, Codec(KEY, "ffffffff")),
        fields(2),  # genuine, at another position
        {**genuine, b"proof": bytes(32)},
        {**genuine, b"body": genuine[b"body"].replace(b"t1", b"t2")},
        Codec(KEY, EPOCH).heartbeat(beat(1)),
        {b"body": genuine[b"body"]},
        {b"proof": genuine[b"proof"]},
        {b"x": b"\xff\x00"},
    ]
    with capture_logs() as logs:
        for each in forged:
            await redis.delete(CHANGES)
            await redis.xadd(CHANGES, each, id=f"1-{LAST}")
            async with Listener(feed) as listener:
                assert await listener.next() is None
            with pytest.raises(FeedGarbledError):
                await feed.tail()
    assert [each["event"] for each in logs] == ["feed.entry_rejected"]  # once a minute
    await feed.restart()
    assert await feed.append(change(1))
    async with Listener(feed) as listener:
        assert await listener.next() == change(1)


async def test_forged_heartbeats_and_heartbeats_of_another_epoch_are_not_taken(
    feed: RedisFeed, redis: Any
) -> None:
    genuine = Codec(KEY, EPOCH).heartbeat(beat(1, NONCE))
    for each in (
        Codec(bytes(32), EPOCH).heartbeat(beat(1, NONCE)),
        Codec(KEY, "ffffffff").heartbeat(beat(1, NONCE)),
        {**genuine, b"body": genuine[b"body"].replace(b"[1,", b"[2,")},
    ):
        await redis.delete(BEATS)
        await redis.xadd(BEATS, each)
        async with Listener(feed) as listener:
            assert await listener.next() is None


async def test_a_forged_end_of_the_stream_hides_nothing(feed: RedisFeed, redis: Any) -> None:
    await feed.append(change(1))
    await redis.xadd(CHANGES, {"x": "y"}, id="999-1")
    async with Listener(feed) as listener:
        assert await listener.next_change() == change(1)
        await redis.xdel(CHANGES, "999-1")
        with pytest.raises(FeedGarbledError):  # the stream remembers the id
            await feed.append(change(2))
        await feed.restart()
        await feed.append(change(2))
        assert await listener.next_change() == change(2)


@pytest.mark.parametrize("key", [CHANGES, BEATS, ASKED, HEAD])
async def test_a_key_of_another_type_is_garbled_until_a_restart(
    feed: RedisFeed, redis: Any, key: str
) -> None:
    await redis.set(key, "mine now")

    async def work() -> None:
        await feed.append(change(1))
        await feed.challenge(NONCE)
        await feed.pending_challenges()
        await feed.send_heartbeat(beat(1))
        await feed.tail()
        await feed.snapshot()

    with pytest.raises(FeedGarbledError):
        await work()
    await feed.restart()
    await work()


@pytest.mark.parametrize("key", [CHANGES, BEATS])
async def test_a_stream_whose_ids_are_used_up_is_garbled_until_a_restart(
    feed: RedisFeed, redis: Any, key: str
) -> None:
    await redis.xadd(key, {"x": "y"}, id=f"{2**64 - 1}-{2**64 - 1}")
    await redis.xdel(key, f"{2**64 - 1}-{2**64 - 1}")  # the stream remembers it
    with pytest.raises(FeedGarbledError):
        await (feed.append(change(1)) if key == CHANGES else feed.send_heartbeat(beat(1)))
    await feed.restart()
    assert await feed.append(change(1))
    await feed.send_heartbeat(beat(1))


@pytest.mark.parametrize("key", ["head", "chunk", "changes"])
async def test_what_is_genuine_is_recalled_beside_a_key_of_another_type(
    feed: RedisFeed, redis: Any, key: str
) -> None:
    await feed.publish_snapshot(Snapshot(1, mark(1), _pages([whole("a")], [whole("b")])))
    await feed.append(Change(2, mark(2), mark(1), (whole("c"),)))
    chunks = [each for each in await redis.keys(f"{HEAD}:*") if each.endswith(b":0")]
    spoilt, left = {
        "head": (HEAD, {"c"}),
        "chunk": (chunks[0], {"b", "c"}),
        "changes": (CHANGES, {"a", "b"}),
    }[key]
    await redis.set(spoilt, "mine now")
    assert {each.token_id async for page in feed.salvage() for each in page.revocations} == left


async def test_only_epochs_that_can_be_ours_are_found(
    feed: RedisFeed, redis: Any, valkey: ValkeyChild
) -> None:
    await feed.append(change(1))
    for key in (
        b"{almond}:\xff\xfe:changes",
        "{almond}:",
        "{almond}:0123ABCD:changes",
        "{almond}:x:snapshot",
    ):
        await redis.set(key, "mine now")
    assert await epochs(valkey.url) == [EPOCH]


@pytest.mark.parametrize("said", [b":not a number\r\n", b"$-9x\r\n", b"*1\r\n" * 10_000, b"SSH-2.0\r\n"])
async def test_a_service_that_is_no_redis_is_unavailable(said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(said)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        feed = RedisFeed(f"redis://127.0.0.1:{port}", KEY, EPOCH)
        for call in (feed.append(change(1)), feed.tail(), feed.challenge(NONCE), feed.snapshot()):
            with pytest.raises(FeedUnavailableError):
                await call
        with pytest.raises(FeedUnavailableError):
            await anext(aiter(feed.follow(lambda: 0)))
        await feed.close()


async def test_parts_that_do_not_belong_together_make_no_change(feed: RedisFeed, redis: Any) -> None:
    codec = Codec(KEY, EPOCH)

    async def put(place: str, of: bytes, parts: int) -> None:
        entry: Any = codec.part(place, ChangePart(of, mark(0), parts, (whole(place),)))
        await redis.xadd(CHANGES, entry, id=place)

    for places in (
        [("1-2", b"a", 3), (f"1-{LAST}", b"a", 3)],  # the first is missing
        [("1-1", b"a", 3), (f"1-{LAST}", b"a", 3)],  # one in the middle is
        [("1-1", b"a", 2), (f"1-{LAST}", b"b", 2)],  # of two histories
    ):
        await redis.delete(CHANGES)
        for place, of, parts in places:
            await put(place, of, parts)
        async with Listener(feed) as listener:
            assert await listener.next() is None


async def test_a_change_that_takes_long_to_read_is_not_begun_anew_for_ever(
    feed: RedisFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_feed, "_RESTART_SECONDS", 0.02)
    monkeypatch.setattr(redis_feed, "_BATCH", 1)
    large = Change(1, mark(1), mark(0), tuple(whole(f"t{each:05}") for each in range(40_000)))
    await feed.append(large)
    async with Listener(feed) as listener:
        assert await listener.next_change() == large


async def test_what_a_crash_left_half_appended_is_finished_by_the_next(feed: RedisFeed, redis: Any) -> None:
    large = Change(1, mark(1), mark(0), tuple(whole(f"t{each:05}") for each in range(2500)))
    await feed.append(large)
    for entry_id, _ in (await redis.xrange(CHANGES))[1:]:
        await redis.xdel(CHANGES, entry_id)
    [(_, first)] = await redis.xrange(CHANGES)
    await redis.delete(CHANGES)
    await redis.xadd(CHANGES, first, id="1-1")
    assert await feed.tail() == Tail(0, mark(0))
    assert not await feed.append(change(2))
    async with Listener(feed) as listener:
        assert await feed.append(large)
        assert await listener.next_change() == large


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'["e",1]', b'["61","61","1",[]]', b'["61","61",1,[["t","zz",1]]]']
)
def test_a_genuine_entry_of_another_form_is_none(body: bytes) -> None:
    codec = Codec(KEY, EPOCH)
    for kind, read in (
        ("part", lambda entry: codec.read_part("", entry)),
        ("beat", codec.read_heartbeat),
        ("head", codec.read_head),
    ):
        assert read({b"body": body, b"proof": codec._proof(kind, "", body)}) is None


async def test_a_flushed_server_loses_only_what_it_held(feed: RedisFeed, redis: Any) -> None:
    async with Listener(feed) as listener:
        await feed.append(change(1))
        assert await listener.next_change() == change(1)
        await redis.flushall()
        assert await feed.append(change(2))
        assert await listener.next_change() == change(2)


async def test_the_stream_stays_short(feed: RedisFeed, redis: Any) -> None:
    async with redis.pipeline(transaction=False) as filling:
        for number in range(1, 15_000):
            _ = filling.xadd(CHANGES, {"x": "y"}, id=f"{number}-{LAST}")
        await filling.execute()
    assert await feed.append(change(15_000))
    assert await redis.xlen(CHANGES) <= 10_200
    for _ in range(50):
        await feed.send_heartbeat(beat(1))
    assert await redis.xlen(BEATS) <= 16


async def test_questions_nobody_takes_do_not_pile_up(feed: RedisFeed, redis: Any) -> None:
    async with redis.pipeline(transaction=False) as filling:
        for _ in range(5000):
            _ = filling.rpush(ASKED, "x")
        await filling.execute()
    await feed.challenge(NONCE)
    assert await redis.llen(ASKED) == 1000
    assert list(await feed.pending_challenges()) == [NONCE]  # what is no nonce is dropped


@pytest.mark.parametrize("tampered", ["head", "chunk", "chunk of another", "missing"])
async def test_a_tampered_snapshot_is_not_believed(feed: RedisFeed, redis: Any, tampered: str) -> None:
    await feed.publish_snapshot(Snapshot(7, mark(7), _page([whole("a")])))
    old = await redis.hgetall((await redis.keys(f"{HEAD}:*"))[0])
    await redis.flushall()
    await feed.publish_snapshot(Snapshot(8, mark(8), _page([whole("b")])))
    chunk = (await redis.keys(f"{HEAD}:*"))[0]
    if tampered == "head":
        forged: Any = Codec(bytes(32), EPOCH).head(Head("x", 9, mark(9), 0))
        await redis.hset(HEAD, mapping=forged)
        assert await feed.snapshot() is None
        return
    if tampered == "chunk":
        await redis.hset(chunk, "body", b"[]")
    elif tampered == "missing":
        await redis.delete(chunk)
    else:
        await redis.hset(chunk, mapping=old)
    found = await feed.snapshot()
    assert found is not None
    with pytest.raises(FeedUnavailableError):
        _ = [page async for page in found.pages]


async def test_chunks_of_earlier_snapshots_go(feed: RedisFeed, redis: Any) -> None:
    for number in range(3):
        await feed.publish_snapshot(Snapshot(number, mark(number), _page([whole("a")])))
    lives = sorted([await redis.ttl(key) for key in await redis.keys(f"{HEAD}:*")])
    assert lives[0] == -1
    assert all(0 < each <= 60 for each in lives[1:])


async def test_a_killed_server_is_noticed_within_two_and_a_half_seconds(
    feed: RedisFeed, valkey: ValkeyChild
) -> None:
    async with Listener(feed) as listener:
        await feed.append(change(1))
        await listener.next_change()
        began = time.monotonic()
        os.kill(valkey.pid, signal.SIGKILL)
        with pytest.raises(FeedUnavailableError):
            await listener.task
        with pytest.raises(FeedUnavailableError):
            await feed.append(change(2))
        assert time.monotonic() - began < 2.5


async def test_a_silent_server_is_noticed_within_two_and_a_half_seconds(
    feed: RedisFeed, valkey: ValkeyChild
) -> None:
    async with Listener(feed) as listener:
        await feed.append(change(1))
        await listener.next_change()
        began = time.monotonic()
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            for call in (feed.append(change(2)), feed.challenge(NONCE)):
                with pytest.raises(FeedUnavailableError):
                    await call
            with pytest.raises(FeedUnavailableError):
                await listener.task
            assert time.monotonic() - began < 5
        finally:
            os.kill(valkey.pid, signal.SIGCONT)

    async def answers() -> bool:  # and works again afterwards, replies in their place
        return await feed.append(change(2)) and await feed.append(change(3))

    assert await eventually(answers, bool)
    assert await feed.tail() == Tail(3, mark(3))


@pytest.mark.parametrize("delay_seconds", [0, 0.0002, 0.001, 0.3])
async def test_a_reader_can_be_cancelled_at_any_time(feed: RedisFeed, delay_seconds: float) -> None:
    for number in range(1, 6):
        async with Listener(feed) as listener:
            await feed.append(change(number))
            await asyncio.sleep(delay_seconds)  # the answer may just be arriving
            listener.task.cancel()
            done, _ = await asyncio.wait([listener.task], timeout=0.5)
            assert done


async def test_no_server_at_all_is_unavailable_and_betrays_no_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        feed = RedisFeed(f"redis://user:hunter2@127.0.0.1:{port}/0", KEY, EPOCH)
        with pytest.raises(FeedUnavailableError) as refused:
            await feed.append(change(1))
    await feed.close()
    assert "hunter2" not in f"{refused.value!r}{refused.value.__cause__!r}{feed!r}"


@pytest.mark.parametrize(
    "url", ["http://x:hunter2@y", "hunter2", "redis://:hunter2/@x:port", "redis://x:hunter2/0"]
)
def test_a_url_of_another_form_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StartError) as refused:
        RedisFeed(url, KEY, EPOCH)
    assert "hunter2" not in f"{refused.value!r}{refused.value.__cause__!r}"


async def _page(entries: Sequence[Revocation]) -> AsyncIterator[RevocationPage]:
    yield RevocationPage(entries)


async def _pages(*pages: Sequence[Revocation]) -> AsyncIterator[RevocationPage]:
    for each in pages:
        yield RevocationPage(each)
