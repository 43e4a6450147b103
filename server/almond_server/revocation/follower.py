"""The follower: keeps the view up to date from the store and the feed, in the background.

The store is the truth: it is polled, and only what somebody has read there since this server asked proves
the view fresh: this server itself, or the relay, whose heartbeats come by the feed. Every fault ends in one
of two ways: it heals, or the view goes stale and nobody says yes.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from almond_server.domain.feed import FeedUnavailableError
from almond_server.domain.revocations import Change
from almond_server.domain.stores import RevisionForgottenError
from almond_server.errors import CannotKnowError, StoreExchangedError
from almond_server.revocation import loader
from almond_server.revocation.catch_up import CatchUp
from almond_server.revocation.challenges import Challenges
from almond_server.revocation.index.view import AnotherPastError

if TYPE_CHECKING:
    from collections.abc import Callable

    from almond_server.domain.clock import Clock
    from almond_server.domain.feed import Feed, Heartbeat, Tail
    from almond_server.domain.revocations import Reading
    from almond_server.domain.stores import Revocations
    from almond_server.revocation.index.view import RevocationView

_BATCH: Final = 1000
_AT_ONCE: Final = 500
"""How many entries of a change are taken in without a pause."""

_MAX_UNPUBLISHED: Final = 10_000
_FEED_RETRY_SECONDS: Final = 0.5
_TELL_SECONDS: Final = 1.0
"""How late health may turn, however seldom the store is polled."""
_DOUBT_SECONDS: Final = 0.02
"""Between two readings of the store at least, whoever fills the feed with what is to be doubted."""

_WENT_BACKWARDS: Final = (
    "The store is not the one this server started with, or went backwards: revocations may be missing in it. "
    "An operator must put them back (`almond store restored`, `almond store heal`) and restart the servers."
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Signals:
    """Whom the follower tells."""

    freshness: Callable[[bool], None]
    """Hears, at every turn, whether the view is fresh."""

    alarm: Callable[[], None]
    """Hears once that the store went backwards, or is another one: time to write down what is known."""

    feed: Callable[[str | None], None]
    """Hears, at every turn, what an operator should know of the feed; None if nothing."""

    changed: Callable[[Change | None], None] = lambda _: None
    """Hears each change that the view has just taken in, in order; None: it took all there is, as a whole."""


class Follower:
    """Applies changes to the view, in order and without gaps, and passes on what it saw first."""

    def __init__(
        self,
        revocations: Revocations,
        feed: Feed,
        view: RevocationView,
        clock: Clock,
        poll_seconds: float,
        signals: Signals,
    ) -> None:
        """Take the store's side, the feed, the view to keep, and whom to tell."""
        self._revocations = revocations
        self._feed = feed
        self._view = view
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._signals = signals
        self._reading = asyncio.Lock()
        self.waits = CatchUp(view, self.catch_up, 2 * poll_seconds)
        self._is_written_down = False
        self._doubted = asyncio.Event()
        self._unpublished: asyncio.Queue[Change] = asyncio.Queue(_MAX_UNPUBLISHED)
        self._challenges = Challenges(view, clock)
        self.gaps = 0
        """How often the feed brought what does not continue the view's past, since the start."""
        self.resyncs = 0
        """How often the view was read anew, page by page."""

    @property
    def beat_age(self) -> float:
        """Seconds since the question that the last heartbeat for this server answered, or the start."""
        return self._challenges.age

    def require_sound(self) -> None:
        """Raise `CannotKnowError` if what was read last cannot be true, its time included."""
        self._view.require_sound()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._poll, self._read_feed, self._publish, self._ask_feed, self._tell):
                tasks.create_task(work())

    async def start(self) -> None:
        """Fill an empty view, quickly, and prove it. Raises as `catch_up`."""
        with contextlib.suppress(FeedUnavailableError):
            await self.compare(await self._feed.tail())
        await loader.from_snapshot(self._view, self._revocations, self._feed)
        self._signals.changed(None)
        await self.catch_up()

    async def compare(self, tail: Tail | None) -> bool:
        """Tell whether the newest change of the feed is one that the store has, or there is none.

        It is not one if the store has forgotten it. Raises `CannotKnowError`, after an alarm, if the store
        has never had it: only what was committed is ever appended.
        """
        if tail is None:
            return True
        mark = await self._revocations.mark_of(tail.number)
        if mark == tail.mark:
            return True
        reading = await self._revocations.reading(0)
        if mark is not None or tail.number > reading.number:
            self._went_backwards(reading, f"feed {reading.epoch}.{tail.number}")
        return False

    async def catch_up(self) -> Reading:
        """Bring the view to the store's newest revision and prove it; returns the reading that did.

        Raises `CannotKnowError` if the store does not answer, or has gone backwards or been exchanged.
        """
        async with self._reading:
            self._view.require_sound()  # before the store is told a time that is not
            began, before = self._clock.monotonic(), self._view.revision
            try:
                reading = await self._revocations.reading(self._clock.now_ms() // 1000)
            except StoreExchangedError:
                if not self._is_written_down:
                    self._is_written_down = True
                    self._signals.alarm()
                raise
            try:
                if reading.epoch != before.epoch or reading.number < before.number:
                    self._went_backwards(reading, f"view {self._view.revision}")
                while not self._view.prove(reading, began):
                    await self._step(reading)
            except AnotherPastError:
                self._went_backwards(reading, f"view {self._view.revision}")
            return reading

    async def _step(self, reading: Reading) -> None:
        try:
            changes = await self._revocations.changes_after(self._view.revision.number, _BATCH)
        except RevisionForgottenError:
            self.resyncs += 1
            await loader.from_store(self._view, self._revocations, reading)
            self._signals.changed(None)
            return
        number = self._view.revision.number
        for change in changes:
            await self._take(change)
        if self._view.revision.number == number < reading.number:
            raise CannotKnowError("The store's revisions have a gap; an operator must look at it.")

    def _went_backwards(self, reading: Reading, known: str) -> NoReturn:
        log.error("store.went_backwards", known=known, store=f"{reading.epoch}.{reading.number}")
        if self._view.raise_alarm(_WENT_BACKWARDS):
            self._signals.alarm()
        raise CannotKnowError(_WENT_BACKWARDS) from None

    async def _take(self, change: Change, *, publish: bool = True) -> None:
        whole = change
        if len(change.revocations) > _AT_ONCE and self._view.is_next(change):
            # Its revision is reached when all of it is in; until then, more is denied than has to be. Another
            # task may take in the same meanwhile: who comes last finds it applied.
            await loader.take_in(self._view, change.revocations)
            change = replace(change, revocations=())
        if not self._view.apply(change):
            return
        self._signals.changed(whole)
        self.waits.view_moved()
        if publish and not self._unpublished.full():
            self._unpublished.put_nowait(whole)

    async def _poll(self) -> None:
        unread = ""
        while True:
            self._doubted.clear()
            try:
                await self.catch_up()
            except CannotKnowError as error:
                if error.sentence != unread:
                    log.warning("store.unread", why=error.sentence)
                unread = error.sentence
                await asyncio.sleep(self._poll_seconds)  # however much there is to doubt
                continue
            if unread:
                log.info("store.read_again")
            unread = ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await asyncio.sleep(_DOUBT_SECONDS)
                    await self._doubted.wait()

    async def _tell(self) -> None:
        was_fresh: bool | None = None
        problem: str | None = ""
        while True:
            self._view.prune()
            if self._view.is_fresh != was_fresh:
                was_fresh = self._view.is_fresh
                self._signals.freshness(was_fresh)
            if self._feed.problem != problem:
                problem = self._feed.problem
                self._signals.feed(problem)
            await asyncio.sleep(min(self._poll_seconds, _TELL_SECONDS))

    async def _read_feed(self) -> None:
        unread = ""
        while True:
            try:
                async for heard in self._feed.follow(lambda: self._view.revision.number):
                    if unread:
                        log.info("feed.read_again")
                    unread = ""
                    await self._hear(heard)
            except FeedUnavailableError as error:
                if str(error) != unread:
                    log.warning("feed.unread", why=str(error))
                unread = str(error)
            await asyncio.sleep(_FEED_RETRY_SECONDS)

    async def _hear(self, heard: Change | Heartbeat | None) -> None:
        # Never waits for the store: while that is silent, the feed may be all that this server has.
        try:
            if isinstance(heard, Change):
                await self._take(heard, publish=False)
                is_sound = heard.number <= self._view.revision.number
            elif heard is not None:
                is_sound = self._challenges.accept(heard)
                self.waits.view_proven()
            else:
                is_sound = False
        except AnotherPastError:
            is_sound = False
        if not is_sound:
            self.gaps += 1
            self._doubted.set()

    async def _ask_feed(self) -> None:
        while True:
            with contextlib.suppress(FeedUnavailableError):  # told by who reads the feed
                await self._feed.challenge(self._challenges.challenge())
            await asyncio.sleep(self._poll_seconds)

    async def _publish(self) -> None:
        while True:
            change = await self._unpublished.get()
            try:
                await self._feed.append(change)  # where others are missing, the relay brings them
            except FeedUnavailableError as error:
                log.warning("feed.unwritten", number=change.number, why=str(error))
