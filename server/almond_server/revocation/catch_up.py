"""Who waits for knowledge: for a revision, or for a reading of the store. One look for all who wait.

Must not know how a look is done, nor who brings the news.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from almond_server.errors import CannotKnowError, WrongRevisionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almond_server.domain.revision import Revision
    from almond_server.domain.revocations import Reading
    from almond_server.revocation.index.view import RevocationView

_REVISION_WAIT_SECONDS: Final = 0.05
"""What a change usually needs to come by the feed; who waits longer asks the store."""

_STORE_WAIT_SECONDS: Final = 1.0
_SILENT: Final = "The store does not answer; try again or ask another server."


class CatchUp:
    """Lets callers wait until the view knows enough."""

    def __init__(
        self, view: RevocationView, catch_up: Callable[[], Awaitable[Reading]], beat_seconds: float
    ) -> None:
        """Take the view, what brings it up to the store, and how long a heartbeat may take to come."""
        self._view = view
        self._catch_up = catch_up
        self._beat_seconds = beat_seconds
        self._asking: asyncio.Task[Reading] | None = None
        self._moved = asyncio.Event()
        self._proven = asyncio.Event()

    def view_moved(self) -> None:
        """Hear that the view has taken in a change."""
        self._moved.set()
        self._moved = asyncio.Event()

    def view_proven(self) -> None:
        """Hear that a heartbeat may have proven the view."""
        self._proven.set()
        self._proven = asyncio.Event()

    async def until_revision(self, revision: Revision, asked_at: float) -> None:
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
            await (self._ask_store() if waited else self._move())
            waited = True

    async def until_commit(self, committed_at: float) -> None:
        """Wait until the view has what was committed before a moment (monotonic seconds), however long.

        One look for all who wait. Raises as `Follower.catch_up`.
        """
        while not self._view.was_read_since(committed_at):
            await self._ask_store(None)

    async def until_read_since(self, asked_at: float) -> None:
        """Wait until a reading of the store begun at `asked_at` (monotonic seconds) or later proves the view.

        One look for all who wait. Where the store is out of sight, a heartbeat that answers a question asked
        since does. Raises `CannotKnowError` if neither comes in time.
        """
        while not self._view.was_read_since(asked_at):
            try:
                await self._ask_store()
            except CannotKnowError:
                await self._hear_since(asked_at)

    async def _move(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REVISION_WAIT_SECONDS):
                await self._moved.wait()

    async def _ask_store(self, seconds: float | None = _STORE_WAIT_SECONDS) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._catch_up())
            # All who wait may have gone when it fails: that is nobody's loss, and no news for the log.
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._asking)
        except TimeoutError:
            raise CannotKnowError(_SILENT) from None

    async def _hear_since(self, asked_at: float) -> None:
        try:
            async with asyncio.timeout(self._beat_seconds + _STORE_WAIT_SECONDS):
                while not self._view.was_read_since(asked_at):
                    self._view.require_sound()
                    await self._proven.wait()
        except TimeoutError:
            raise CannotKnowError(_SILENT) from None
