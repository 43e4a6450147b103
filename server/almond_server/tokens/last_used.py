"""Records when tokens were last used, to the minute: collected in memory, written in batches.

No call waits for a write, but a Revoke that asks for unused tokens. A crash loses what was not written.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from almond_server.domain.records import Use
from almond_server.errors import CannotKnowError, for_operators

if TYPE_CHECKING:
    from almond_core.chain import VerifiedToken
    from almond_server.domain.stores import Tokens

MAX_COLLECTED: Final = 10_000
MAX_DERIVED: Final = 100
_MINUTE: Final = 60
_EVERY_SECONDS: Final = 15.0

log = structlog.get_logger()


class LastUseRecorder:
    """The uses since the last batch, by the token's own branch id.

    It collects at most 10,000 uses, 100 of them of tokens that derive from one token, since a holder can
    derive any number; further ones are dropped. A token in use comes again in the next batch, so a dropped
    use only leaves an older time on record until then. A batch that the store did not take is kept for the
    next one: a server that cannot reach the store answers for as long as Redis proves its view.
    """

    def __init__(self, tokens: Tokens) -> None:
        """Write to `tokens`."""
        self._tokens = tokens
        self._collected: dict[bytes, tuple[VerifiedToken, int]] = {}
        self._derived: Counter[str] = Counter()
        self._writing = asyncio.Lock()

    def record(self, token: VerifiedToken, now: int) -> None:
        """Collect that a token was used at `now` (unix seconds). Never waits."""
        branch_id, token_id = token.branch_ids[-1], token.identity.token_id
        if branch_id not in self._collected:
            if len(self._collected) >= MAX_COLLECTED or self._derived[token_id] >= MAX_DERIVED:
                return
            self._derived[token_id] += 1
        self._collected[branch_id] = (token, now)

    async def write(self) -> None:
        """Write what was collected, or log that the store does not answer."""
        try:
            await self.flush()
        except CannotKnowError as error:
            log.warning("uses.unwritten", count=len(self._collected), why=for_operators(error))

    async def flush(self) -> None:
        """Write what was collected, after any write that runs already; raises `CannotKnowError`."""
        async with self._writing:
            collected, self._collected = self._collected, {}
            self._derived.clear()
            if not collected:
                return
            try:
                await self._tokens.record_last_used([_use(token, at) for token, at in collected.values()])
            except CannotKnowError:
                self._put_back(collected)
                raise

    def _put_back(self, collected: dict[bytes, tuple[VerifiedToken, int]]) -> None:
        for branch_id, (token, at) in collected.items():
            # What was used again meanwhile has a newer time.
            if branch_id not in self._collected:
                self.record(token, at)

    async def run(self) -> None:
        """Write every 15 seconds until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self.write()


def _use(token: VerifiedToken, at: int) -> Use:
    return Use(token.identity.token_id, token.branch_ids, at - at % _MINUTE)
