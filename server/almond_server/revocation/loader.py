"""Filling a view as a whole: from the feed's snapshot, or page by page from the store.

Calls that are being answered wait for a few milliseconds at most, however much there is to take in.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from almond_server.domain.feed import FeedUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.domain.feed import Feed
    from almond_server.domain.revocations import Reading, Revocation
    from almond_server.domain.stores import Revocations
    from almond_server.revocation.index.view import RevocationView

_PAGE: Final = 2000
_SLICE: Final = 100
_TURN_SECONDS: Final = 0.001
_PROGRESS_SECONDS: Final = 2.0

log = structlog.get_logger()


class Progress:
    """Says in the log, now and then, how far a view is filled."""

    def __init__(self, view: RevocationView, source: str) -> None:
        """Begin now; `source` is what it is filled from."""
        self._view = view
        self._source = source
        self._began = self._told = asyncio.get_running_loop().time()

    def tell(self) -> None:
        """Say how far it is, if that was not said just now."""
        now = asyncio.get_running_loop().time()
        if now - self._told >= _PROGRESS_SECONDS:
            self._told = now
            log.info("view.loading", **self._facts(now))

    def end(self) -> None:
        """Say that it is done."""
        now = asyncio.get_running_loop().time()
        log.info("view.loaded", revision=str(self._view.revision), **self._facts(now))

    def _facts(self, now: float) -> dict[str, str | int | float]:
        return {"source": self._source, "tokens": len(self._view), "seconds": round(now - self._began, 1)}


async def take_in(view: RevocationView, revocations: Sequence[Revocation]) -> None:
    """Take in entries of whatever revision, and let others have their turn every few milliseconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for start in range(0, len(revocations), _SLICE):
        view.take(revocations[start : start + _SLICE])
        if loop.time() - began >= _TURN_SECONDS:
            await asyncio.sleep(0)
            began = loop.time()


async def make_room(view: RevocationView, count: int) -> None:
    """Let an empty view have room for so many entries, and let others have their turn meanwhile."""
    while not view.make_room(count):  # noqa: ASYNC110 - it is this loop's own work
        await asyncio.sleep(0)


async def from_snapshot(view: RevocationView, revocations: Revocations, feed: Feed) -> None:
    """Fill an empty view from the snapshot, if there is one of a revision that the store bears out.

    Otherwise from the store. Raises `CannotKnowError` if the store does not answer.
    """
    try:
        snapshot = await feed.snapshot()
        if snapshot is not None and await revocations.mark_of(snapshot.number) == snapshot.mark:
            progress = Progress(view, "snapshot")
            async for page in snapshot.pages:
                await make_room(view, snapshot.page_count * len(page.revocations))
                view.take((), page.cut_offs)
                await take_in(view, page.revocations)
                progress.tell()
            view.stand_at(snapshot.number, snapshot.mark)
            progress.end()
            return
    except FeedUnavailableError as error:
        log.warning("feed.no_snapshot", why=str(error))
    # What was taken of a snapshot that broke off stays: it was genuine.
    await from_store(view, revocations, await revocations.reading(0))


async def from_store(view: RevocationView, revocations: Revocations, reading: Reading) -> None:
    """Take every entry up to a reading's revision. Raises `CannotKnowError` if the store does not answer."""
    last: Revocation | None = None
    progress = Progress(view, "store")
    view.take((), await revocations.cut_offs(reading.number))
    while entries := await revocations.page(reading.number, last, _PAGE):
        await take_in(view, entries)
        progress.tell()
        last = entries[-1]
    if reading.number >= view.revision.number:
        view.stand_at(reading.number, reading.mark)
    progress.end()
