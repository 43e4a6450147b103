"""The follower: the background task that keeps the view up to date from the store and the feed.

Rules:
* The store is the truth. Only a reading of the store proves the view: this server's own, or the relay's if
  its heartbeat echoes a nonce of this server. Nothing else says when the store was read (ADR 15).
* The age of a reading counts from before it began: a slow answer never makes the view look fresher.
* Changes are applied in order, without gaps, and only if their marks continue the view's history: the feed
  may lose, repeat or forge, and may hold changes that a restore of the database has undone.
* A message of the feed that does not fit causes a poll. Polls for that reason are at least 20 ms apart, so
  that a flood of forgeries cannot overload the store.
* Reading the feed never waits for the store: while the store is down, the feed may be the only source.
* A store of another epoch, of a lower revision, or with another mark than the view's raises the alarm: it has
  lost changes, and only an operator can put them back.
* While this server's clock is wrong, it sends the store no time: an SQLite store takes its time from servers
  (`clock_jump.py`).
* Every fault either heals, or makes the view stale: then Verify answers UNAVAILABLE instead of ALLOWED.

Must not know Redis, SQL or gRPC, nor what its callbacks do.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from almond_server.domain.feed import FeedUnavailableError
from almond_server.domain.revocations import Change
from almond_server.domain.stores import RevisionForgottenError
from almond_server.errors import CannotKnowError, StoreExchangedError, for_operators
from almond_server.revocation import loader
from almond_server.revocation.catch_up import CatchUp
from almond_server.revocation.challenges import Challenges
from almond_server.revocation.clock_jump import ClockJump
from almond_server.revocation.index.view import STALE, DivergedHistoryError

if TYPE_CHECKING:
    from almond_server.domain.clock import Clock
    from almond_server.domain.feed import Feed, Heartbeat, Tail
    from almond_server.domain.revocations import Reading
    from almond_server.domain.stores import Revocations
    from almond_server.revocation.index.view import RevocationView
    from almond_server.revocation.signals import Signals

_BATCH: Final = 1000
_MAX_UNSLICED: Final = 500
"""Entries of a change that are added without a pause; those of a larger one are added in slices."""

_MAX_UNPUBLISHED: Final = 10_000
_FEED_RETRY_SECONDS: Final = 0.5
_REPORT_SECONDS: Final = 1.0
"""Maximum delay of a health report, however long the poll interval is."""

_MIN_POLL_GAP_SECONDS: Final = 0.02
"""Minimum time between two polls, however many messages of the feed do not fit."""

_WENT_BACKWARDS: Final = (
    "The store went backwards, or is not the one this server started with: revocations may be missing in it. "
    "An operator must put them back and restart the servers: ops/RESTORE.md (`almond store restored`, "
    "`almond store heal`)."
)

log = structlog.get_logger()


class Follower:
    """Keeps the view up to date, and publishes in the feed the changes that it read from the store."""

    def __init__(
        self,
        revocations: Revocations,
        feed: Feed,
        view: RevocationView,
        clock: Clock,
        poll_seconds: float,
        signals: Signals,
    ) -> None:
        self._revocations = revocations
        self._feed = feed
        self._view = view
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._signals = signals
        self._reading = asyncio.Lock()
        self.waits = CatchUp(view, self.catch_up, 2 * poll_seconds)
        """Where calls wait until the view is recent enough for them."""
        self._is_exchange_reported = False
        self._poll_now = asyncio.Event()
        self._unpublished: asyncio.Queue[Change] = asyncio.Queue(_MAX_UNPUBLISHED)
        self._challenges = Challenges(view, clock)
        self._clock_jump = ClockJump(view, clock)
        self._unread = ""
        """Why the store could not be read in the last poll, as a sentence; empty if it could."""
        self.gaps = 0
        """How many messages of the feed did not fit the view, since the start."""
        self.resyncs = 0
        """How often the whole view was loaded again, page by page, since the start."""

    @property
    def heartbeat_age(self) -> float:
        """Seconds since the newest challenge of this server that a heartbeat answered, or since the start."""
        return self._challenges.age

    @property
    def problem(self) -> str | None:
        """Why the view is not fresh, as a sentence for callers and probes; None while it is."""
        problem = self._view.problem
        if problem is None:
            return None
        return self._unread or problem.sentence if problem.sentence == STALE else problem.sentence

    @property
    def clock_corrected_at(self) -> float:
        """When a jump of the clock was last taken as a correction, in monotonic seconds; or long ago."""
        return self._clock_jump.ended_at

    def require_sound(self) -> None:
        """Raise `CannotKnowError` after an alarm, or while this machine's clock differs from the store's."""
        self._view.require_sound()

    async def run(self) -> None:
        """Follow the store and the feed until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._poll, self._read_feed, self._publish, self._send_challenges, self._report):
                tasks.create_task(work())

    async def start(self) -> None:
        """Load an empty view, from the snapshot if there is one, and prove it. Raises as `catch_up`."""
        with contextlib.suppress(FeedUnavailableError):
            await self.store_confirms(await self._feed.tail())
        await loader.from_snapshot(self._view, self._revocations, self._feed)
        self._signals.on_change(None)
        await self.catch_up()

    async def store_confirms(self, tail: Tail | None) -> bool:
        """Return whether the store has the feed's newest change, or the feed has none.

        False if the store has pruned it. If the store never had it, raises the alarm and `CannotKnowError`:
        only committed changes are ever appended to the feed, so the store has lost it.
        """
        if tail is None:
            return True
        mark = await self._revocations.mark_of(tail.number)
        if mark == tail.mark:
            return True
        reading = await self._revocations.reading(0)
        if mark is not None or tail.number > reading.number:
            self._fail_backwards(reading, f"feed {reading.epoch}.{tail.number}")
        return False

    async def catch_up(self) -> Reading:
        """Bring the view to the store's newest revision and prove it; return the reading that proves it.

        Raises `CannotKnowError` if the store does not answer, went backwards or was exchanged.
        """
        async with self._reading:
            self._view.require_no_alarm()
            began, before = self._clock.monotonic(), self._view.revision
            try:
                reading = await self._revocations.reading(self._clock_jump.time_to_send())
            except StoreExchangedError:
                if not self._is_exchange_reported:
                    self._is_exchange_reported = True
                    self._signals.on_alarm()
                raise
            try:
                if reading.epoch != before.epoch or reading.number < before.number:
                    self._fail_backwards(reading, f"view {self._view.revision}")
                self._clock_jump.require_end(reading)
                while not self._view.prove(reading, began):
                    await self._advance(reading)
            except DivergedHistoryError:
                self._fail_backwards(reading, f"view {self._view.revision}")
            return reading

    async def _advance(self, reading: Reading) -> None:
        try:
            changes = await self._revocations.changes_after(self._view.revision.number, _BATCH)
        except RevisionForgottenError:
            self.resyncs += 1
            await loader.from_store(self._view, self._revocations, reading)
            self._signals.on_change(None)
            return
        number = self._view.revision.number
        for change in changes:
            await self._apply(change)
        if self._view.revision.number == number < reading.number:
            raise CannotKnowError("The store's revisions have a gap; an operator must check the store.")

    def _fail_backwards(self, reading: Reading, known: str) -> NoReturn:
        log.error("store.went_backwards", known=known, store=f"{reading.epoch}.{reading.number}")
        if self._view.raise_alarm(_WENT_BACKWARDS):
            self._signals.on_alarm()
        raise CannotKnowError(_WENT_BACKWARDS) from None

    async def _apply(self, change: Change, *, publish: bool = True) -> None:
        whole = change
        if len(change.revocations) > _MAX_UNSLICED and self._view.is_next(change):
            # The view reaches the revision when all entries are in; until then it denies more than it has to.
            # Another task may add the same entries meanwhile: the later one finds the change applied.
            await loader.add_in_slices(self._view, change.revocations)
            change = replace(change, revocations=())
        if not self._view.apply(change):
            return
        self._signals.on_change(whole)
        self.waits.view_changed()
        if publish and not self._unpublished.full():
            self._unpublished.put_nowait(whole)

    async def _poll(self) -> None:
        while True:
            self._poll_now.clear()
            try:
                await self.catch_up()
            except CannotKnowError as error:
                if error.sentence != self._unread:
                    log.warning("store.unread", why=for_operators(error))
                self._unread = error.sentence
                # This pause is kept whatever the feed sends meanwhile.
                await asyncio.sleep(self._poll_seconds)
                continue
            if self._unread:
                log.info("store.read_again")
            self._unread = ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await asyncio.sleep(_MIN_POLL_GAP_SECONDS)
                    await self._poll_now.wait()

    async def _report(self) -> None:
        stale: str | None = ""
        problem: str | None = ""
        while True:
            self._view.prune()
            if self.problem != stale:
                stale = self.problem
                self._signals.on_staleness(stale)
            if self._feed.problem != problem:
                problem = self._feed.problem
                self._signals.on_feed_problem(problem)
            await asyncio.sleep(min(self._poll_seconds, _REPORT_SECONDS))

    async def _read_feed(self) -> None:
        problem = ""
        while True:
            try:
                async for message in self._feed.follow(lambda: self._view.revision.number):
                    if problem:
                        log.info("feed.read_again")
                    problem = ""
                    await self._receive(message)
            except FeedUnavailableError as error:
                if str(error) != problem:
                    log.warning("feed.unread", why=str(error))
                problem = str(error)
            await asyncio.sleep(_FEED_RETRY_SECONDS)

    async def _receive(self, message: Change | Heartbeat | None) -> None:
        # Never waits for the store: while that does not answer, the feed may be all that this server has.
        try:
            if isinstance(message, Change):
                await self._apply(message, publish=False)
                fits = message.number <= self._view.revision.number
            elif message is not None:
                fits = self._challenges.accept(message)
                self.waits.view_proven()
            else:
                fits = False
        except DivergedHistoryError:
            fits = False
        if not fits:
            self.gaps += 1
            self._poll_now.set()

    async def _send_challenges(self) -> None:
        while True:
            # The task that reads the feed logs the failure.
            with contextlib.suppress(FeedUnavailableError):
                await self._feed.challenge(self._challenges.challenge())
            await asyncio.sleep(self._poll_seconds)

    async def _publish(self) -> None:
        while True:
            change = await self._unpublished.get()
            try:
                # If earlier ones are missing, the relay appends all.
                await self._feed.append(change)
            except FeedUnavailableError as error:
                log.warning("feed.unwritten", number=change.number, why=str(error))
