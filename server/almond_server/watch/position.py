"""The position of one watcher in the log of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almond_server.watch.change_log import Cursor

if TYPE_CHECKING:
    from almond_server.watch.change_log import Batch
    from almond_server.watch.context import WatchContext


class WatchPosition:
    """How far a watcher of an org (of all orgs if it is None) has been sent the log, and may be."""

    def __init__(self, context: WatchContext, org: str | None) -> None:
        """Start at the end of the log."""
        self._context = context
        self._org = org
        self.cursor = Cursor(context.changes.head)

    @property
    def number(self) -> int:
        """The revision up to which the watcher has been sent everything."""
        return self.cursor.number

    @property
    def limit(self) -> int:
        """The revision up to which the watcher may be sent changes: for an org, where home orgs are known."""
        return self._context.changes.head if self._org is None else self._context.orgs.limit

    @property
    def is_behind(self) -> bool:
        """Whether there is a change that the watcher may be sent and was not."""
        return self.number < self.limit

    def advance(self, batch: Batch) -> Batch:
        """Move to the end of a batch that is sent now, and return it."""
        self.cursor = batch.end
        return batch

    def next_batch(self, limit: int) -> Batch:
        """Return the next batch from the log, up to revision `limit`, and move to its end."""
        return self.advance(self._context.batch(self.cursor, self._org, limit))

    def require_logged(self) -> None:
        """Raise `ChangesForgottenError` or `WatcherTooSlowError` if the log no longer holds what follows."""
        self._context.changes.require_logged(self.cursor)
