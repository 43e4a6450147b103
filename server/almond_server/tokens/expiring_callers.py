"""Counts the callers whose long-lived tokens end soon, so that operators replace them in time."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from almond_core.lifetimes import Lifetime, lifetime_of

if TYPE_CHECKING:
    from almond_core.chain import VerifiedToken

MAX_CALLERS: Final = 10_000
_WINDOW_SECONDS: Final = 3600


class ExpiringCallers:
    """The tokens, by id, that callers used within the last hour and that end soon (`Lifetime.is_ending`).

    It holds at most 10,000 of them, and drops the one that was seen longest ago first. Cache: branch id ->
    lifetime, at most 10,000, oldest first; a token's lifetime never changes.
    """

    def __init__(self) -> None:
        self._lifetimes: OrderedDict[bytes, Lifetime | None] = OrderedDict()
        self._seen: OrderedDict[str, int] = OrderedDict()

    def record(self, token: VerifiedToken, now: int) -> None:
        """Note that a caller used `token` at `now` (unix seconds). Cheap: it is called with every call."""
        lifetime = self._lifetime(token)
        if lifetime is not None and lifetime.is_ending(now):
            token_id = token.identity.token_id
            self._seen[token_id] = now
            self._seen.move_to_end(token_id)
            _bound(self._seen)

    def count(self, now: int) -> int:
        """Return how many were seen within the hour before `now`."""
        while self._seen and next(iter(self._seen.values())) <= now - _WINDOW_SECONDS:
            self._seen.popitem(last=False)
        return len(self._seen)

    def _lifetime(self, token: VerifiedToken) -> Lifetime | None:
        branch_id = token.branch_ids[-1]
        if branch_id not in self._lifetimes:
            self._lifetimes[branch_id] = lifetime_of(token.identity, token.caveats)
            _bound(self._lifetimes)
        return self._lifetimes[branch_id]


def _bound(entries: OrderedDict[Any, Any]) -> None:
    if len(entries) > MAX_CALLERS:
        entries.popitem(last=False)
