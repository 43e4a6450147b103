"""Checks the token of a watcher again and again: a watch lasts, and a token may be revoked meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from almond_server.tokens import permissions

if TYPE_CHECKING:
    from almond_server.domain.revision import Revision
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Callers

_JUST_NOW_SECONDS: Final = 0.05
"""A check this recent, at the same revision of the view, serves the next heartbeat too."""


class TokenRecheck:
    """The permission of one watcher to watch an org (of all orgs if it is None), and when it was checked."""

    def __init__(self, callers: Callers, view: RevocationView, call: Call, org: str | None) -> None:
        self._callers = callers
        self._view = view
        self._call = call
        self._org = org
        self._checked_at = 0.0
        self._checked_under: Revision | None = None

    def check(self) -> None:
        """Check the permission now. Raises the caller's errors, and `CannotKnowError`."""
        self._checked_at, self._checked_under = asyncio.get_running_loop().time(), self._view.revision
        self._callers.permit(self._call, permissions.to_watch(self._org))

    def check_if_older(self, seconds: float) -> None:
        """Check unless that was done within so many seconds. Raises as `check`."""
        if self._is_older(seconds):
            self.check()

    def check_for_heartbeat(self) -> None:
        """Check unless that was done just now, at the view's present revision. Raises as `check`."""
        if self._checked_under is not self._view.revision or self._is_older(_JUST_NOW_SECONDS):
            self.check()

    def _is_older(self, seconds: float) -> bool:
        return asyncio.get_running_loop().time() >= self._checked_at + seconds
