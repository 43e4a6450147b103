"""The measurements of view_size.py; each runs in a process of its own and returns plain values."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import time
from typing import TYPE_CHECKING, Any, Final

import psutil

from almond_core import crypto, minting
from almond_core.caveats import Org, encode
from almond_core.chain import VerifiedToken
from almond_core.decision import decide
from almond_core.header import present
from almond_core.masks import ALL
from almond_core.model import Access, Circumstances, Identity, token_id_at, token_id_bytes, token_id_of
from almond_server.adapters.redis.feed import RedisFeed
from almond_server.adapters.system_clock import SystemClock
from almond_server.domain.feed import RevocationPage, Snapshot
from almond_server.domain.revocations import KEPT_SECONDS, Change, Reading, Revocation
from almond_server.revocation import loader
from almond_server.revocation.index.view import RevocationView
from almond_server.tokens.key_ring import KeyRing
from bench.stops import Stops, fresh_stop, idle_stop
from fakes.revocations import MemoryRevocations
from fakes.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

BASE: Final = 1000
CHANGE: Final = 1000
PAGE: Final = 2000
LOOK_UPS: Final = 100_000
EPOCH, FEED_KEY, MARK = "0a1b2c3d", bytes(32), b"the mark"
ISSUED_MS: Final = 1_700_000_000_000
PRK: Final = crypto.extract(bytes(32))
PROCESS: Final = psutil.Process()


def ids(seed: int, count: int) -> Iterator[str]:
    """Yield token ids of the last three months."""
    chance = random.Random(seed)
    return (
        token_id_at(ISSUED_MS + chance.getrandbits(33), chance.getrandbits(80).to_bytes(10, "big"))
        for _ in range(count)
    )


def new_view() -> RevocationView:
    view = RevocationView(EPOCH, 3600.0, SystemClock())
    gc.collect()
    gc.freeze()  # as the server does
    return view


def prove(view: RevocationView, store_time: int | None = None) -> None:
    clock = SystemClock()
    reading = Reading(EPOCH, view.revision.number, view.mark, store_time or clock.now_ms() // 1000)
    assert view.prove(reading, clock.monotonic())


async def grow(view: RevocationView, size: int, ends_at: int) -> None:
    """Apply changes as the follower does: every fiftieth entry is a branch, the others are whole tokens."""
    names = ids(1, size)
    for number in itertools.count(1):
        entries: list[Revocation] = []
        for at, token_id in enumerate(itertools.islice(names, CHANGE)):
            branch_id = None if at % 50 else token_id[:16].encode()
            entries.append(Revocation(token_id, branch_id, ends_at))
            if at % 100 == 0:
                await asyncio.sleep(0)  # making the entries must not count
        if not entries:
            return
        await loader.add_in_slices(view, entries)
        assert view.apply(Change(number, MARK, MARK if number > 1 else b"", ()))
        del entries
        await asyncio.sleep(0)


def look_ups(view: RevocationView, size: int) -> dict[str, float]:
    """Time single look-ups in nanoseconds: of ids in it and not in it, in the table and in a plain set.

    The cost of the loop is in all figures. The ids in it are drawn evenly from all.
    """
    revoked, found = view._revoked, dict[str, float]()
    table = revoked._tokens
    every = list(map(token_id_bytes, ids(1, size)))
    plain, present = set(every), random.Random(2).sample(every, min(LOOK_UPS, size))
    del every
    absent = [token_id_bytes(each) for each in ids(3, LOOK_UPS)]
    for name, keys in (("live", absent), ("revoked", present)):
        times: dict[str, list[float]] = {"set": [], "table": [], "standing": []}
        for _ in range(7):
            one, other, tokens = fresh(keys), fresh(keys), list(map(bearing, keys))
            began = time.process_time()
            for key in one:
                key in plain  # noqa: B015 - this is what is timed
            after_set = time.process_time()
            for key in other:
                table.find(key)
            after_table = time.process_time()
            for token in tokens:
                revoked.standing(token)
            times["standing"].append(time.process_time() - after_table)
            times["table"].append(after_table - after_set)
            times["set"].append(after_set - began)
        found |= {f"{what}_{name}": min(each) / len(keys) * 1e9 for what, each in times.items()}
    return found


def bearing(key: bytes) -> VerifiedToken:
    """Return a token with an id, of which no branch is revoked."""
    return VerifiedToken(Identity("k1", token_id_of(key), "org", "acme", ""), (), (bytes(16),), b"")


def fresh(keys: Sequence[bytes]) -> list[bytes]:
    """Copy ids, so that their hashes are not cached: those of a request never are."""
    return [bytes(bytearray(each)) for each in keys]


def verifying(views: Sequence[RevocationView]) -> list[float]:
    """Time the core's whole decision with each view in turn: 500 live tokens, again and again."""
    caveats = [encode(Org("acme", ALL))]
    texts = [minting.mint(PRK, Identity("k1", each, "org", "acme", ""), caveats).text for each in ids(4, 500)]
    access, now = Access(org="acme", actions=ALL), Circumstances(ISSUED_MS // 1000)
    times: list[list[float]] = [[] for _ in views]
    for _ in range(15):
        for view, taken in zip(views, times, strict=True):
            keys = KeyRing({"k1": PRK}, "k1", view)
            began = time.process_time()
            for text in texts:
                assert decide(present(text), access, now, keys, view)
            taken.append((time.process_time() - began) / len(texts) * 1e6)
    return [min(each) for each in times]


async def pages(view: RevocationView) -> AsyncIterator[RevocationPage]:
    entries = view.entries()
    while page := list(itertools.islice(entries, PAGE)):
        yield RevocationPage(page)


async def growth(size: int, url: str) -> dict[str, Any]:
    """Grow a view, time look-ups and decisions, publish the snapshot, and sweep everything."""
    small, view = new_view(), new_view()
    now = SystemClock().now_ms() // 1000
    await grow(small, BASE, now)
    before, growing, sweeping, collecting = PROCESS.memory_info().rss, Stops(), Stops(), Stops()
    began = time.perf_counter()
    async with growing.watched():
        await grow(view, size, now)
    took = time.perf_counter() - began
    gc.collect()
    memory, counted = PROCESS.memory_info().rss - before, view.memory_bytes
    async with collecting.watched():
        gc.collect()
    feed = RedisFeed(url, FEED_KEY, EPOCH)
    await feed.publish_snapshot(Snapshot(1, MARK, pages(view)))
    await feed.close()
    for each in (small, view):
        prove(each)
    base_us, verify_us = verifying([small, view])
    found: dict[str, Any] = look_ups(view, size)
    async with sweeping.watched():
        view.store_time = now + KEPT_SECONDS + 1
        swept = 0
        while len(view):
            swept += view.prune()
            await asyncio.sleep(0)
    assert swept == size
    return found | {
        "bytes": memory / size,
        "counted_bytes": counted / size,
        "idle": idle_stop(took),
        "fresh": fresh_stop(max(memory, 0)),
        "growing": growing.figures,
        "collecting": collecting.figures,
        "sweeping": sweeping.figures,
        "verify_us": verify_us,
        "verify_base_us": base_us,
    }


async def start(size: int, url: str) -> dict[str, Any]:
    """Start from the snapshot; then load all of it again, as a server does that was down for too long."""
    view, starting, again = new_view(), Stops(), Stops()
    feed, store = RedisFeed(url, FEED_KEY, EPOCH), MemoryStore()
    store.marks[1] = MARK
    before, began = PROCESS.memory_info().rss, time.perf_counter()
    used = time.process_time()
    async with starting.watched():
        await loader.from_snapshot(view, MemoryRevocations(store), feed)
    took, used = time.perf_counter() - began, time.process_time() - used
    gc.collect()
    memory = PROCESS.memory_info().rss - before
    async with again.watched():
        await loader.from_snapshot(view, MemoryRevocations(store), feed)
    await feed.close()
    assert (len(view), view.revision.number) == (size, 1)
    return {
        "start_seconds": (took, used),
        "starting": starting.figures,
        "again": again.figures,
        "start_bytes": memory / size,
    }
