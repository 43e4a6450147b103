"""Everybody who watches this server: how many there may be, when they hear of news, and how they go.

All read one log (`change_log.py`); each has a place in it, and nothing queues up for any. Must not know
gRPC, nor how slowly anybody reads.
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
from almond_server.watch.org_filter import OrgFilter
from almond_server.watch.stream import WatchContext, WatchStream, proof_of

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
"""By tokens of one id, narrowed or not: nobody alone takes the places of all."""

_FULL_RETRY_SECONDS: Final = 5.0

_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.6
_PAUSE_FACTOR: Final = 4.0
"""News cost a message a watcher and round: telling them takes a fifth of the time; calls have the rest."""

_WOKEN_AT_ONCE: Final = 16
"""A turn of the loop: gRPC takes on a new call every other turn, so they have to be short; but each costs."""


def interval_of(max_staleness: float) -> float:
    """Return how often heartbeats come, in seconds: five within the bound."""
    return min(5.0, max(0.1, max_staleness / 5))


class WatchHub:
    """Everybody who watches this server."""

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
        """Take what watching needs; `max_staleness` in seconds."""
        self._callers = callers
        self._changes = changes
        self._clock = clock
        self._orgs = OrgFilter(changes, tokens, lambda: proof_of(view, changes))
        self._sources = WatchContext(
            callers,
            changes,
            follower,
            revocations,
            self._orgs,
            view,
            interval_of(max_staleness),
            max_staleness,
        )
        self._watches: dict[WatchStream, None] = {}
        self._of_token = Counter[str]()

    def __len__(self) -> int:
        """Return how many there are, with those that are being dropped and have not gone yet."""
        return len(self._watches)

    async def run(self) -> None:
        """Pass the news on until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._orgs.run())
            tasks.create_task(self._pass_on())

    def leave(self) -> None:
        """End all watches, and every new one, for good: elsewhere they go on."""
        self._sources.is_leaving = True
        for watch in self._watches:
            watch.wake.set()

    async def watch(
        self, call: Call, start: Revision | Begin, org: str | None
    ) -> AsyncGenerator[Event, None]:
        """Yield what happens, on and on; of one org, or of all if it is None.

        Raises `FieldError`, the caller's errors (now or at a later heartbeat), `CannotKnowError`,
        `WrongRevisionError`, `ChangesForgottenError`, `TooManyWatchersError`, `WatcherTooSlowError`.
        """
        watch = WatchStream(self._sources, call, org, self._clock.monotonic())
        _check_org(org)
        token_id = self._callers.permit(call, permissions.to_watch(org)).token.identity.token_id
        if len(self._watches) >= MAX_WATCHERS:
            raise TooManyWatchersError(
                f"This server has {MAX_WATCHERS} watchers; ask another one.", _FULL_RETRY_SECONDS
            )
        if self._of_token[token_id] >= MAX_OF_A_TOKEN:
            raise TooManyWatchersError(
                f"{MAX_OF_A_TOKEN} watch here with this token already; use several.", _FULL_RETRY_SECONDS
            )
        self._watches[watch] = None
        self._of_token[token_id] += 1
        if org is not None:
            self._orgs.want()
        try:
            async with contextlib.aclosing(watch.events(start)) as events:
                async for event in events:
                    yield event
        finally:
            watch.close()
            del self._watches[watch]
            self._of_token -= Counter([token_id])  # keeps none that are none

    async def _pass_on(self) -> None:
        """Wake those who have news: the first at once, and then no more often than there is time for."""
        moved = self._changes.moved
        while True:
            await moved.wait()
            moved.clear()
            if self._orgs.is_behind and any(each.org is not None for each in self._watches):
                self._orgs.want()
            began = asyncio.get_running_loop().time()
            behind = [each for each in self._watches if each.is_behind]
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
        raise FieldError("org", f"{RESERVED_ORG} is the service's own org; without an org, all is told")
