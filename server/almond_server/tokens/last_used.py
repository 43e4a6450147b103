"""Records when tokens were last used, to the minute: collected in memory, written in batches.

No call waits for a write, and a crash loses at most the last batch.
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
    use only leaves an older time on record until then.
    """

    def __init__(self, tokens: Tokens) -> None:
        """Write to `tokens`."""
        self._tokens = tokens
        self._collected: dict[bytes, tuple[VerifiedToken, int]] = {}
        self._derived: Counter[str] = Counter()

    def record(self, token: VerifiedToken, now: int) -> None:
        """Collect that a token was used at `now` (unix seconds). Never waits."""
        branch_id, token_id = token.branch_ids[-1], token.identity.token_id
        if branch_id not in self._collected:
            if len(self._collected) >= MAX_COLLECTED or self._derived[token_id] >= MAX_DERIVED:
                return
            self._derived[token_id] += 1
        self._collected[branch_id] = (token, now)

    async def write(self) -> None:
        """Write what was collected; it is dropped if the store does not answer."""
        collected, self._collected = self._collected, {}
        self._derived.clear()
        uses = [_use(token, at) for token, at in collected.values()]
        if not uses:
            return
        try:
            await self._tokens.record_last_used(uses)
        except CannotKnowError as error:
            log.warning("uses.unwritten", count=len(uses), why=for_operators(error))

    async def run(self) -> None:
        """Write every 15 seconds until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self.write()


def _use(token: VerifiedToken, at: int) -> Use:
    return Use(token.identity.token_id, token.branch_ids, at - at % _MINUTE)
