"""When tokens were last used, to the minute: noted in memory, written in batches.

Nothing waits for it, and nothing is lost that matters: what a crash takes is at most the last batch.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from almond_server.errors import CannotKnowError
from almond_server.record import Use

if TYPE_CHECKING:
    from almond_core.chain import VerifiedToken
    from almond_server.ports import Tokens

MAX_NOTED: Final = 10_000
_MINUTE: Final = 60
_EVERY_SECONDS: Final = 15.0

log = structlog.get_logger()


class Uses:
    """The uses since the last batch, by the token's own branch id: at most 10,000, further ones are dropped.

    A token in use is noted again in the next batch, so that dropping makes a time late and never wrong.
    """

    def __init__(self, tokens: Tokens) -> None:
        """Take the store's side."""
        self._tokens = tokens
        self._noted: dict[bytes, tuple[VerifiedToken, int]] = {}

    def note(self, token: VerifiedToken, now: int) -> None:
        """Note that a token was used at `now` (unix seconds). Never waits."""
        branch_id = token.branch_ids[-1]
        if branch_id in self._noted or len(self._noted) < MAX_NOTED:
            self._noted[branch_id] = (token, now)

    async def write(self) -> None:
        """Write what was noted; what cannot be written now is dropped."""
        noted, self._noted = self._noted, {}
        uses = [
            Use(token.identity.token_id, token.branch_ids, at - at % _MINUTE) for token, at in noted.values()
        ]
        if not uses:
            return
        try:
            await self._tokens.note_uses(uses)
        except CannotKnowError as error:
            log.warning("uses.unwritten", count=len(uses), why=error.sentence)

    async def run(self) -> None:
        """Write every 15 seconds until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            await self.write()
