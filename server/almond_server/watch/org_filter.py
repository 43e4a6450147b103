"""What watchers of one org are told: which tokens may concern it, which only the store knows.

Home orgs are asked for once a change, in the background, and only while somebody watches an org. Until the
store has answered, nothing newer is told to those who do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from almond_core.model import RESERVED_ORG
from almond_server.domain.revocations import Scope
from almond_server.errors import CannotKnowError
from almond_server.watch.change_log import Entries, EntryFilter, LoggedChange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from almond_server.domain.revocations import CutOff, Revocation
    from almond_server.domain.stores import Tokens
    from almond_server.watch.change_log import ChangeLog

_ASKED_AT_ONCE: Final = 1000
_RETRY_SECONDS: Final = 0.2

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Proof:
    """That the store was read at `read_at` (monotonic seconds), with nothing newer than `number` in it."""

    number: int
    read_at: float
    store_time: int


class OrgFilter:
    """Knows the home orgs of the tokens of every change up to revision `limit`."""

    def __init__(self, changes: ChangeLog, tokens: Tokens, prove: Callable[[], Proof | None]) -> None:
        """Take the log, who knows home orgs, and how new the log is."""
        self._changes = changes
        self._tokens = tokens
        self._prove = prove
        self._proof: Proof | None = None
        self._wanted = asyncio.Event()
        self._told: str | None = None
        self.limit = changes.head

    def want(self) -> None:
        """See to it that home orgs are known up to the newest change, soon."""
        self._wanted.set()

    @property
    def proof(self) -> Proof | None:
        """How new that is what it knows; None if nobody can say."""
        return self._prove() if self.limit == self._changes.head else self._proof

    @property
    def is_behind(self) -> bool:
        """Whether there are changes of which it knows no home orgs."""
        return self.limit < self._changes.head

    async def run(self) -> None:
        """Ask, whenever somebody wants it."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._ask()
            except CannotKnowError as error:
                self._tell(error.sentence)
                await asyncio.sleep(_RETRY_SECONDS)
                self.want()
            else:
                self._tell(None)

    async def _ask(self) -> None:
        head, proof = self._changes.head, self._prove()
        if head == self.limit:
            return
        await self.tell_homes(list(self._changes.after(self.limit, head)))
        self.limit, self._proof = head, proof
        self._changes.moved.set()  # for those who waited for this

    async def tell_homes(self, several: Sequence[LoggedChange]) -> None:
        """See to it that the home orgs of changes are known; raises as `homes_of`."""
        news = [kept for kept in several if kept.homes is None]
        homes = await self.homes_of([each.token_id for kept in news for each in kept.change.revocations])
        for kept in news:
            kept.homes = homes

    async def homes_of(self, token_ids: Sequence[str]) -> dict[str, str]:
        """Ask for the home orgs of tokens; raises `CannotKnowError` if the store does not answer."""
        homes: dict[str, str] = {}
        for start in range(0, len(token_ids), _ASKED_AT_ONCE):
            homes |= await self._tokens.home_orgs(token_ids[start : start + _ASKED_AT_ONCE])
        return homes

    def _tell(self, why: str | None) -> None:
        if why is not None and why != self._told:
            log.warning("watches.orgs_unread", why=why)
        self._told = why


def of_org(org: str) -> EntryFilter:
    """Return how to choose what may concern an org."""

    def choose(kept: LoggedChange, revocations: Sequence[Revocation], cut_offs: Sequence[CutOff]) -> Entries:
        return concerning(org, revocations, kept.homes or {}), cut_offs_of(org, cut_offs)

    return choose


def cut_offs_of(org: str, cut_offs: Sequence[CutOff]) -> Sequence[CutOff]:
    """Return the cut-offs that may concern an org: its own, and those of subjects and keys."""
    return [each for each in cut_offs if each.scope is not Scope.ORG or each.name == org]


def concerning(org: str, revocations: Sequence[Revocation], homes: Mapping[str, str]) -> Sequence[Revocation]:
    """Return the revocations of tokens that may be for an org: its own, those of several or any, and unknown.

    `homes` has the home orgs of those that have a record.
    """
    theirs = {org, "", RESERVED_ORG}
    return [each for each in revocations if homes.get(each.token_id, org) in theirs]
