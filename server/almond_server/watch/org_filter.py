"""Filters changes for the watchers of one org, by the home orgs of the revoked tokens.

Only the store knows home orgs. They are loaded once for each change, in the background, and only while an org
is watched; until they are loaded, watchers of orgs are sent nothing newer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from almond_core.model import RESERVED_ORG
from almond_server.domain.revocations import Scope
from almond_server.errors import CannotKnowError, for_operators
from almond_server.watch.change_log import Entries, EntryFilter, LoggedChange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from almond_server.domain.revocations import CutOff, Revocation
    from almond_server.domain.stores import Tokens
    from almond_server.watch.change_log import ChangeLog

_MAX_LOOKED_UP: Final = 1000
_RETRY_SECONDS: Final = 0.2

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that the store, read at `read_at` (monotonic seconds), held nothing newer than `number`."""

    number: int
    read_at: float
    store_time: int


class OrgFilter:
    """The home orgs of the tokens of every change up to revision `limit`."""

    def __init__(self, changes: ChangeLog, tokens: Tokens, prove: Callable[[], Proof | None]) -> None:
        """Load home orgs from `tokens`; `prove` returns how fresh the log is, None if that is not known."""
        self._changes = changes
        self._tokens = tokens
        self._prove = prove
        self._proof: Proof | None = None
        self._requested = asyncio.Event()
        self._reported: str | None = None
        self.limit = changes.head

    def request(self) -> None:
        """Have home orgs loaded up to the newest change, soon."""
        self._requested.set()

    @property
    def proof(self) -> Proof | None:
        """How fresh the filtered changes are; None if that is not known."""
        return self._prove() if self.limit == self._changes.head else self._proof

    @property
    def is_behind(self) -> bool:
        """Whether there are changes whose home orgs are not loaded."""
        return self.limit < self._changes.head

    async def run(self) -> None:
        """Load home orgs on request, until cancelled."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            try:
                await self._load()
            except CannotKnowError as error:
                self._report(for_operators(error))
                await asyncio.sleep(_RETRY_SECONDS)
                self.request()
            else:
                self._report(None)

    async def _load(self) -> None:
        head, proof = self._changes.head, self._prove()
        if head == self.limit:
            return
        await self.load_homes(list(self._changes.after(self.limit, head)))
        self.limit, self._proof = head, proof
        # Watchers of orgs may now be sent more.
        self._changes.moved.set()

    async def load_homes(self, changes: Sequence[LoggedChange]) -> None:
        """Load the home orgs of changes that have none yet; raises as `homes_of`."""
        missing = [each for each in changes if each.homes is None]
        homes = await self.homes_of([entry.token_id for each in missing for entry in each.change.revocations])
        for each in missing:
            each.homes = homes

    async def homes_of(self, token_ids: Sequence[str]) -> dict[str, str]:
        """Return the home orgs of tokens; raises `CannotKnowError` if the store does not answer."""
        homes: dict[str, str] = {}
        for start in range(0, len(token_ids), _MAX_LOOKED_UP):
            homes |= await self._tokens.home_orgs(token_ids[start : start + _MAX_LOOKED_UP])
        return homes

    def _report(self, why: str | None) -> None:
        if why is not None and why != self._reported:
            log.warning("watches.orgs_unread", why=why)
        self._reported = why


def entries_for(org: str) -> EntryFilter:
    """Return the filter of the entries that may concern an org."""

    def chosen(
        logged: LoggedChange, revocations: Sequence[Revocation], cut_offs: Sequence[CutOff]
    ) -> Entries:
        return revocations_for(org, revocations, logged.homes or {}), cut_offs_for(org, cut_offs)

    return chosen


def cut_offs_for(org: str, cut_offs: Sequence[CutOff]) -> Sequence[CutOff]:
    """Return the cut-offs that may concern an org: its own, and those of subjects and keys."""
    return [each for each in cut_offs if each.scope is not Scope.ORG or each.name == org]


def revocations_for(
    org: str, revocations: Sequence[Revocation], homes: Mapping[str, str]
) -> Sequence[Revocation]:
    """Return the revocations of tokens that may be valid for an org.

    These are its own tokens, those of several or any org, those of the reserved org, and those without a
    record. `homes` holds the home orgs of the tokens that have a record.
    """
    theirs = {org, "", RESERVED_ORG}
    return [each for each in revocations if homes.get(each.token_id, org) in theirs]
