"""The state that all watch streams of a server share: the log, the view, and limits on reading the store."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from almond_server.watch.change_log import Batch, Cursor, LoggedChange, all_entries, next_batch
from almond_server.watch.org_filter import OrgFilter, Proof, entries_for

if TYPE_CHECKING:
    from almond_server.domain.revocations import Change
    from almond_server.domain.stores import Revocations
    from almond_server.revocation.follower import Follower
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Callers
    from almond_server.watch.change_log import ChangeLog, EntryFilter

_STORE_READS: Final = 4
"""Watchers that read a page of the store at once, for a snapshot or for changes that the log has dropped."""

_MAX_BATCHES: Final = 64


@dataclass(slots=True)
class WatchContext:
    """The state that all watch streams share; `interval` between heartbeats and `max_staleness` in seconds.

    Caches: the last `_MAX_BATCHES` batches, so that watchers at the same position share one; and changes read
    from the store, for as long as any stream holds them.
    """

    callers: Callers
    changes: ChangeLog
    follower: Follower
    revocations: Revocations
    orgs: OrgFilter
    view: RevocationView
    interval: float
    max_staleness: float
    is_draining: bool = False
    reads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_STORE_READS))
    _batches: dict[tuple[Cursor, str | None, int], Batch] = field(default_factory=dict)
    _missed: WeakValueDictionary[int, LoggedChange] = field(default_factory=WeakValueDictionary)

    def shared(self, change: Change) -> LoggedChange:
        """Return the one object for a change read from the store, for as long as any stream holds it."""
        return self._missed.setdefault(change.number, LoggedChange(change))

    def batch(self, cursor: Cursor, org: str | None, limit: int) -> Batch:
        """Return the batch after a cursor, up to revision `limit`: one object for all streams there."""
        key = (cursor, org, limit)
        found = self._batches.get(key)
        if found is None:
            found = next_batch(self.changes.after(cursor.number, limit), cursor, filter_of(org))
            self._batches[key] = found
            if len(self._batches) > _MAX_BATCHES:
                del self._batches[next(iter(self._batches))]
        return found


def filter_of(org: str | None) -> EntryFilter:
    """Return the filter of the entries that a watcher of an org is sent; of all orgs if it is None."""
    return all_entries if org is None else entries_for(org)


def proof_of(view: RevocationView, changes: ChangeLog) -> Proof | None:
    """Return the proof of how fresh the log is; None if the view is not proven, or the log is not at it."""
    if view.proven_at is None or view.revision.number != changes.head:
        return None
    return Proof(changes.head, view.proven_at, view.store_time)
