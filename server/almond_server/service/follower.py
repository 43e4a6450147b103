"""The follower: keeps the view up to date from the store and the feed, in the background.

The store is the truth: it is polled, and its readings alone prove the view fresh. The feed makes it quick.
Every fault ends in one of two ways: the next poll heals it, or the view goes stale and nobody says yes.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from almond_server.errors import CannotKnowError, WrongRevisionError
from almond_server.ports import FeedUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from almond_server.ports import Change, Clock, Feed, Revocations
    from almond_server.service.revision import Revision
    from almond_server.service.view import RevocationView

_BATCH = 1000
_MAX_UNPUBLISHED = 10_000
_FEED_RETRY_SECONDS = 0.5
_REVISION_WAIT_SECONDS = 0.05
"""What a change usually needs to come by the feed; who waits longer asks the store."""

_STORE_WAIT_SECONDS = 1.0

_WENT_BACKWARDS = (
    "The store is not the one this server started with, or went backwards: revocations may be missing in it. "
    "Ask an operator; the server must be restarted once they have looked at it."
)

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
        self._asking: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
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
            self._view.must_be_sound()  # before the store is told a time that is not
            began, before = self._clock.monotonic(), self._view.revision.number
            reading = await self._revocations.reading(self._clock.now_ms() // 1000)
            if reading.epoch != self._view.revision.epoch or reading.number < before:
                store = f"{reading.epoch}.{reading.number}"
                log.error("store.went_backwards", view=str(self._view.revision), store=store)
                self._view.raise_alarm(_WENT_BACKWARDS)
                raise CannotKnowError(_WENT_BACKWARDS)
            while not self._view.prove(reading, began):
                changes = await self._revocations.changes_after(self._view.revision.number, _BATCH)
                taken = [change for change in changes if self._take(change, publish=publish)]
                if not taken and not self._view.prove(reading, began):
                    raise CannotKnowError("The store's revisions have a gap; an operator must look at it.")

    async def reach(self, revision: Revision, asked_at: float) -> None:
        """Wait until the view has seen `revision`, asked for at `asked_at` (monotonic seconds).

        First for the feed, shortly; then for the store, together with all who wait. Raises `CannotKnowError`
        if it does not answer in time; `WrongRevisionError` for another epoch, or a number above the store's.
        """
        waited = False
        while not self._view.has_seen(revision):
            if self._view.was_read_since(asked_at):
                raise WrongRevisionError(
                    "No revision of that number was given out; use one that Revoke or Verify returned."
                )
            await (self._ask() if waited else self._move())
            waited = True

    async def _move(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REVISION_WAIT_SECONDS):
                await self._moved.wait()

    async def _ask(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.catch_up())
            # All who wait may have gone when it fails: that is nobody's loss, and no news for the log.
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            async with asyncio.timeout(_STORE_WAIT_SECONDS):
                await asyncio.shield(self._asking)
        except TimeoutError:
            raise CannotKnowError("The store does not answer; try again or ask another server.") from None

    async def _poll(self) -> None:
        was_fresh: bool | None = None
        while True:
            try:
                await self.catch_up()
            except CannotKnowError as error:
                log.warning("store.unread", why=error.sentence)
            self._view.prune()
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
        if taken:
            self._moved.set()
            self._moved = asyncio.Event()
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
