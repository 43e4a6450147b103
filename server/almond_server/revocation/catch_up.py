"""Lets calls wait until the view has reached a revision, or has been checked against the store.

All waiting calls share one read of the store. Must not know how the store is read, nor how changes arrive.
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

_FEED_WAIT_SECONDS: Final = 0.05
"""The time in which a change usually arrives by the feed; a call that waits longer reads the store."""

_STORE_WAIT_SECONDS: Final = 1.0
_NO_ANSWER: Final = "The store does not answer; try again or ask another server."


class CatchUp:
    """Where calls wait until the view is recent enough for them."""

    def __init__(
        self, view: RevocationView, catch_up: Callable[[], Awaitable[Reading]], heartbeat_seconds: float
    ) -> None:
        """Wait for `view`; `catch_up` reads the store, and a heartbeat takes up to `heartbeat_seconds`."""
        self._view = view
        self._catch_up = catch_up
        self._heartbeat_seconds = heartbeat_seconds
        self._store_read: asyncio.Task[Reading] | None = None
        self._changed = asyncio.Event()
        self._proven = asyncio.Event()

    def view_changed(self) -> None:
        """Wake the calls that wait for a change: the view has applied one."""
        self._changed.set()
        self._changed = asyncio.Event()

    def view_proven(self) -> None:
        """Wake the calls that wait for a heartbeat: one has arrived, and may have proven the view."""
        self._proven.set()
        self._proven = asyncio.Event()

    async def until_revision(self, revision: Revision, asked_at: float) -> None:
        """Wait until the view has reached `revision`, for a call that came at `asked_at` (monotonic seconds).

        Waits up to 50 ms for the feed, then reads the store. Raises `CannotKnowError` if that does not answer
        within a second; `WrongRevisionError` for another epoch, or a number above the store's.
        """
        waited = False
        while not self._view.has_seen(revision):
            if self._view.was_read_since(asked_at):
                raise WrongRevisionError(
                    "No revision with that number exists; use one that Revoke or Verify returned."
                )
            await (self._read_store() if waited else self._await_change())
            waited = True

    async def until_commit(self, committed_at: float) -> None:
        """Wait, without a time limit, until the view has all that was committed before `committed_at`.

        That is a time in monotonic seconds. Raises as `Follower.catch_up`.
        """
        while not self._view.was_read_since(committed_at):
            await self._read_store(None)

    async def until_read_since(self, asked_at: float) -> None:
        """Wait until a reading of the store that began at `asked_at` or later proves the view.

        That is a time in monotonic seconds. While this server cannot read the store, a heartbeat that answers
        a challenge sent since then counts as well. Raises `CannotKnowError` if neither comes in time.
        """
        while not self._view.was_read_since(asked_at):
            try:
                await self._read_store()
            except CannotKnowError:
                await self._await_heartbeat(asked_at)

    async def _await_change(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FEED_WAIT_SECONDS):
                await self._changed.wait()

    async def _read_store(self, seconds: float | None = _STORE_WAIT_SECONDS) -> None:
        if self._store_read is None or self._store_read.done():
            self._store_read = asyncio.ensure_future(self._catch_up())
            # If no call waits any more when it fails, asyncio must not log the exception as never retrieved.
            self._store_read.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._store_read)
        except TimeoutError:
            raise CannotKnowError(_NO_ANSWER) from None

    async def _await_heartbeat(self, asked_at: float) -> None:
        try:
            async with asyncio.timeout(self._heartbeat_seconds + _STORE_WAIT_SECONDS):
                while not self._view.was_read_since(asked_at):
                    self._view.require_sound()
                    await self._proven.wait()
        except TimeoutError:
            raise CannotKnowError(_NO_ANSWER) from None
