"""The hub of all watch streams of this server: admits them, wakes them for changes, and ends them all.

All streams read one log (`change_log`), each with a cursor of its own, so nothing queues up for a slow
watcher. Must not know gRPC, nor how slowly a watcher reads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from almond_core.errors import FieldError
from almond_core.model import RESERVED_ORG, checked_id
from almond_server.errors import TooManyWatchersError
from almond_server.tokens import permissions
from almond_server.watch.context import WatchContext, proof_of
from almond_server.watch.org_filter import OrgFilter
from almond_server.watch.stream import WatchStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from almond_server.domain.clock import Clock
    from almond_server.domain.revision import Revision
    from almond_server.domain.stores import Revocations, Tokens
    from almond_server.revocation.follower import Follower
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Callers
    from almond_server.watch.change_log import ChangeLog
    from almond_server.watch.events import Begin, Event

MAX_WATCHERS: Final = 5000
MAX_OF_A_TOKEN: Final = 2000
"""Streams by tokens of one id, narrowed or not, so that one holder cannot use up all of them."""

_FULL_RETRY_SECONDS: Final = 5.0

_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.6
_PAUSE_FACTOR: Final = 4.0
"""A round sends each watcher a message. Rounds take a fifth of the time; calls have the rest."""

_WOKEN_AT_ONCE: Final = 16
"""Streams woken in one iteration of the loop, which must be short: gRPC accepts a call every other one."""


def interval_of(max_staleness: float) -> float:
    """Return the seconds between heartbeats: a fifth of the bound, between 0.1 and 5."""
    return min(5.0, max(0.1, max_staleness / 5))


class WatchHub:
    """All watch streams of this server."""

    def __init__(  # noqa: PLR0913, PLR0917 - one parameter a collaborator, passed once by the composition root
        self,
        callers: Callers,
        changes: ChangeLog,
        follower: Follower,
        revocations: Revocations,
        tokens: Tokens,
        view: RevocationView,
        clock: Clock,
        max_staleness: float,
    ) -> None:
        """Send heartbeats often enough for a bound of `max_staleness` seconds."""
        self._callers = callers
        self._changes = changes
        self._clock = clock
        self._orgs = OrgFilter(changes, tokens, lambda: proof_of(view, changes))
        self._context = WatchContext(
            callers,
            changes,
            follower,
            revocations,
            self._orgs,
            view,
            interval_of(max_staleness),
            max_staleness,
        )
        self._streams: dict[WatchStream, None] = {}
        self._of_token = Counter[str]()

    def __len__(self) -> int:
        """Return the number of streams, with those that are ending."""
        return len(self._streams)

    async def run(self) -> None:
        """Wake streams when there are changes, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._orgs.run())
            tasks.create_task(self._wake_streams())

    def leave(self) -> None:
        """End all streams, and refuse new ones, for good; clients go on at another server."""
        self._context.is_draining = True
        for stream in self._streams:
            stream.wake.set()

    async def watch(
        self, call: Call, start: Revision | Begin, org: str | None
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one watch, of an org or of all if it is None, until the call ends.

        Raises `FieldError`, the caller's errors (now or at a later heartbeat), `CannotKnowError`,
        `WrongRevisionError`, `ChangesForgottenError`, `TooManyWatchersError`, `WatcherTooSlowError`.
        """
        stream = WatchStream(self._context, call, org, self._clock.monotonic())
        _check_org(org)
        token_id = self._callers.permit(call, permissions.to_watch(org)).token.identity.token_id
        if len(self._streams) >= MAX_WATCHERS:
            raise TooManyWatchersError(
                f"This server has {MAX_WATCHERS} watchers; ask another one.", _FULL_RETRY_SECONDS
            )
        if self._of_token[token_id] >= MAX_OF_A_TOKEN:
            raise TooManyWatchersError(
                f"{MAX_OF_A_TOKEN} watch here with this token already; use several.", _FULL_RETRY_SECONDS
            )
        self._streams[stream] = None
        self._of_token[token_id] += 1
        if org is not None:
            self._orgs.request()
        try:
            async with contextlib.aclosing(stream.events(start)) as events:
                async for event in events:
                    yield event
        finally:
            stream.close()
            del self._streams[stream]
            self._of_token[token_id] -= 1
            if not self._of_token[token_id]:
                del self._of_token[token_id]

    async def _wake_streams(self) -> None:
        """Wake the streams that are behind: at once after a quiet time, else a round after its pause."""
        moved = self._changes.moved
        while True:
            await moved.wait()
            moved.clear()
            if self._orgs.is_behind and any(each.org is not None for each in self._streams):
                self._orgs.request()
            began = asyncio.get_running_loop().time()
            behind = [each for each in self._streams if each.is_behind]
            for start in range(0, len(behind), _WOKEN_AT_ONCE):
                for each in behind[start : start + _WOKEN_AT_ONCE]:
                    each.wake.set()
                await asyncio.sleep(0)
            took = asyncio.get_running_loop().time() - began
            await asyncio.sleep(min(max(_PAUSE_SECONDS, _PAUSE_FACTOR * took), _LONGEST_PAUSE_SECONDS))


def _check_org(org: str | None) -> None:
    if org is None:
        return
    checked_id("org", org)
    if org == RESERVED_ORG:
        raise FieldError("org", f"{RESERVED_ORG} is the service's own org; leave it out to watch all orgs")
