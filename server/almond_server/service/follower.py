"""The follower: keeps the view up to date from the store and the feed, in the background.

The store is the truth: it is polled, and its readings alone prove the view fresh. The feed makes it quick.
Every fault ends in one of two ways: the next poll heals it, or the view goes stale and nobody says yes.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from almond_server.errors import CannotKnowError
from almond_server.ports import FeedUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from almond_server.ports import Change, Clock, Feed, Revocations
    from almond_server.service.view import RevocationView

_BATCH = 1000
_MAX_UNPUBLISHED = 10_000
_FEED_RETRY_SECONDS = 0.5

log = structlog.get_logger()


class Follower:
    """Applies changes to the view, in order and without gaps, and passes on what it saw first."""

    def __init__(
        self,
        revocations: Revocations,
        feed: Feed,
        view: RevocationView,
        clock: Clock,
        poll_seconds: float,
        on_freshness: Callable[[bool], None],
    ) -> None:
        """Take the store's side, the feed, and the view to keep. `on_freshness` hears of every turn."""
        self._revocations = revocations
        self._feed = feed
        self._view = view
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._on_freshness = on_freshness
        self._reading = asyncio.Lock()
        self._unpublished: asyncio.Queue[Change] = asyncio.Queue(_MAX_UNPUBLISHED)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll())
            tasks.create_task(self._read_feed())
            tasks.create_task(self._publish())

    async def catch_up(self, *, publish: bool = True) -> None:
        """Bring the view to the store's newest revision and prove it; `publish` what others may not know.

        Raises `CannotKnowError` if the store does not answer, or has gone backwards or been exchanged.
        """
        async with self._reading:
            began, before = self._clock.monotonic(), self._view.revision.number
            reading = await self._revocations.reading(self._clock.now_ms() // 1000)
            if reading.epoch != self._view.revision.epoch or reading.number < before:
                log.error("store.went_backwards", view=str(self._view.revision), store=reading.number)
                raise CannotKnowError(
                    "The store is not the one this server started with, or went backwards; "
                    "restart the server once an operator has looked at it."
                )
            while not self._view.prove(reading, began):
                changes = await self._revocations.changes_after(self._view.revision.number, _BATCH)
                taken = [change for change in changes if self._take(change, publish=publish)]
                if not taken and not self._view.prove(reading, began):
                    raise CannotKnowError("The store's revisions have a gap; an operator must look at it.")

    async def _poll(self) -> None:
        was_fresh: bool | None = None
        while True:
            try:
                await self.catch_up()
            except CannotKnowError as error:
                log.warning("store.unread", why=error.sentence)
            if self._view.is_fresh != was_fresh:
                was_fresh = self._view.is_fresh
                self._on_freshness(was_fresh)
            await asyncio.sleep(self._poll_seconds)

    async def _read_feed(self) -> None:
        while True:
            try:
                async for epoch, change in self._feed.changes():
                    await self._hear(epoch, change)
            except FeedUnavailableError as error:
                log.warning("feed.unread", why=str(error))
            await asyncio.sleep(_FEED_RETRY_SECONDS)

    async def _hear(self, epoch: str, change: Change) -> None:
        # Only a wake-up: an entry may be genuine and yet of a past that a restore has undone, and its number
        # would then hide the store's own change of that number.
        if epoch != self._view.revision.epoch or change.number <= self._view.revision.number:
            return
        with contextlib.suppress(CannotKnowError):  # the next poll will do
            await self.catch_up(publish=False)

    def _take(self, change: Change, *, publish: bool) -> bool:
        taken = self._view.apply(change)
        if taken and publish and not self._unpublished.full():
            self._unpublished.put_nowait(change)
        return taken

    async def _publish(self) -> None:
        while True:
            change = await self._unpublished.get()
            try:
                await self._feed.publish(self._view.revision.epoch, change)
            except FeedUnavailableError as error:
                log.warning("feed.unwritten", number=change.number, why=str(error))
