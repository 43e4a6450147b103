"""When tokens were last used, to the minute: noted in memory, written in batches.

Nothing waits for it, and nothing is lost that matters: what a crash takes is at most the last batch.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from almond_server.domain.records import Use
from almond_server.errors import CannotKnowError

if TYPE_CHECKING:
    from almond_core.chain import VerifiedToken
    from almond_server.domain.stores import Tokens

MAX_NOTED: Final = 10_000
MAX_DERIVED: Final = 100
_MINUTE: Final = 60
_EVERY_SECONDS: Final = 15.0

log = structlog.get_logger()


class LastUseRecorder:
    """The uses since the last batch, by the token's own branch id: further ones than these are dropped.

    At most 10,000, and 100 of what derives from one token: whoever holds it can make as many as they like. A
    token in use is noted again in the next batch, so that dropping makes a time late and never wrong.
    """

    def __init__(self, tokens: Tokens) -> None:
        """Take the store's side."""
        self._tokens = tokens
        self._noted: dict[bytes, tuple[VerifiedToken, int]] = {}
        self._derived: Counter[str] = Counter()

    def record(self, token: VerifiedToken, now: int) -> None:
        """Note that a token was used at `now` (unix seconds). Never waits."""
        branch_id, token_id = token.branch_ids[-1], token.identity.token_id
        if branch_id not in self._noted:
            if len(self._noted) >= MAX_NOTED or self._derived[token_id] >= MAX_DERIVED:
                return
            self._derived[token_id] += 1
        self._noted[branch_id] = (token, now)

    async def write(self) -> None:
        """Write what was noted; what cannot be written now is dropped."""
        noted, self._noted = self._noted, {}
        self._derived.clear()
        last_used = [
            Use(token.identity.token_id, token.branch_ids, at - at % _MINUTE) for token, at in noted.values()
        ]
        if not last_used:
            return
        try:
            await self._tokens.record_last_used(last_used)
        except CannotKnowError as error:
            log.warning("uses.unwritten", count=len(last_used), why=error.sentence)

    async def run(self) -> None:
        """Write every 15 seconds until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self.write()
