"""Filling a view as a whole: from the feed's snapshot, or page by page from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from almond_server.fan_out import FeedUnavailableError

if TYPE_CHECKING:
    from almond_server.fan_out import Feed
    from almond_server.ports import Reading, Revocations, Withdrawal
    from almond_server.service.view import RevocationView

_PAGE: Final = 10_000

log = structlog.get_logger()


async def from_snapshot(view: RevocationView, revocations: Revocations, feed: Feed) -> None:
    """Fill an empty view from the snapshot, if there is one of a revision that the store bears out.

    Otherwise from the store. Raises `CannotKnowError` if the store does not answer.
    """
    try:
        snapshot = await feed.snapshot()
        if snapshot is not None and await revocations.mark_of(snapshot.number) == snapshot.mark:
            async for entries in snapshot.pages:
                view.take(entries)
            view.stand_at(snapshot.number, snapshot.mark)
            log.info("view.loaded", source="snapshot", revision=str(view.revision), tokens=len(view))
            return
    except FeedUnavailableError as error:
        log.warning("feed.no_snapshot", why=str(error))
    # What was taken of a snapshot that broke off stays: it was genuine.
    await from_store(view, revocations, await revocations.reading(0))


async def from_store(view: RevocationView, revocations: Revocations, reading: Reading) -> None:
    """Take every entry up to a reading's revision. Raises `CannotKnowError` if the store does not answer."""
    last: Withdrawal | None = None
    while entries := await revocations.withdrawals(reading.number, last, _PAGE):
        view.take(entries)
        last = entries[-1]
    if reading.number >= view.revision.number:
        view.stand_at(reading.number, reading.mark)
    log.info("view.loaded", source="store", revision=str(view.revision), tokens=len(view))
