"""Loads a whole view: from the feed's snapshot, or page by page from the store.

It yields to the event loop after each millisecond of work, so that calls wait for a few milliseconds at most,
however much there is to load. Must not know when a view has to be loaded.
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
_YIELD_SECONDS: Final = 0.001
_PROGRESS_SECONDS: Final = 2.0

log = structlog.get_logger()


class Progress:
    """Logs, at most every two seconds, how far a view is loaded."""

    def __init__(self, view: RevocationView, source: str) -> None:
        """Begin now; `source` names in the log where the view is loaded from."""
        self._view = view
        self._source = source
        self._began = self._logged_at = asyncio.get_running_loop().time()

    def report(self) -> None:
        """Log the progress, unless that was done within the last two seconds."""
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _PROGRESS_SECONDS:
            self._logged_at = now
            log.info("view.loading", **self._facts(now))

    def finish(self) -> None:
        """Log that the view is loaded."""
        now = asyncio.get_running_loop().time()
        log.info("view.loaded", revision=str(self._view.revision), **self._facts(now))

    def _facts(self, now: float) -> dict[str, str | int | float]:
        return {"source": self._source, "tokens": len(self._view), "seconds": round(now - self._began, 1)}


async def add_in_slices(view: RevocationView, revocations: Sequence[Revocation]) -> None:
    """Add entries of any revision to a view, and yield to the event loop after each millisecond of work."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for start in range(0, len(revocations), _SLICE):
        view.add(revocations[start : start + _SLICE])
        if loop.time() - began >= _YIELD_SECONDS:
            await asyncio.sleep(0)
            began = loop.time()


async def make_room(view: RevocationView, count: int) -> None:
    """Give an empty view room for `count` entries, and yield to the event loop between the steps."""
    while not view.make_room(count):  # noqa: ASYNC110 - it is this loop's own work
        await asyncio.sleep(0)


async def from_snapshot(view: RevocationView, revocations: Revocations, feed: Feed) -> None:
    """Load an empty view from the snapshot, if the store confirms its mark; otherwise from the store.

    Raises `CannotKnowError` if the store does not answer.
    """
    try:
        snapshot = await feed.snapshot()
        if snapshot is not None and await revocations.mark_of(snapshot.number) == snapshot.mark:
            progress = Progress(view, "snapshot")
            async for page in snapshot.pages:
                await make_room(view, snapshot.page_count * len(page.revocations))
                view.add((), page.cut_offs)
                await add_in_slices(view, page.revocations)
                progress.report()
            view.set_revision(snapshot.number, snapshot.mark)
            progress.finish()
            return
    except FeedUnavailableError as error:
        log.warning("feed.no_snapshot", why=str(error))
    # The entries of a snapshot that broke off stay in the view: they are genuine.
    await from_store(view, revocations, await revocations.reading(0))


async def from_store(view: RevocationView, revocations: Revocations, reading: Reading) -> None:
    """Add every entry up to a reading's revision. Raises `CannotKnowError` if the store does not answer."""
    last: Revocation | None = None
    progress = Progress(view, "store")
    view.add((), await revocations.cut_offs(reading.number))
    while entries := await revocations.page(reading.number, last, _PAGE):
        await add_in_slices(view, entries)
        progress.report()
        last = entries[-1]
    if reading.number >= view.revision.number:
        view.set_revision(reading.number, reading.mark)
    progress.finish()
