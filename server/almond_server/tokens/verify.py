"""Verify: may this token do that? No await on this path: all it needs is in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from almond_core import header
from almond_core.decision import Decision, decide
from almond_core.errors import FieldError, TokenError
from almond_core.model import RESERVED_ORG, Access, Circumstances
from almond_server.domain.revision import Revision
from almond_server.tokens import permissions

if TYPE_CHECKING:
    from almond_server.domain.clock import Clock
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Callers
    from almond_server.tokens.key_ring import KeyRing
    from almond_server.tokens.last_used import LastUseRecorder


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision with the revision it rests on and the store time (unix seconds) it is known to."""

    decision: Decision
    revision: Revision
    store_time: int


class Verifier:
    """Answers questions of services, and of tokens about themselves."""

    def __init__(
        self,
        callers: Callers,
        keys: KeyRing,
        view: RevocationView,
        last_used: LastUseRecorder,
        clock: Clock,
        leeway: int,
    ) -> None:
        """Take what a decision needs, and where uses are noted."""
        self._callers = callers
        self._keys = keys
        self._view = view
        self._last_used = last_used
        self._clock = clock
        self._leeway = leeway

    def authenticate(self, call: Call) -> None:
        """Make sure that the caller has a genuine live token; raises `UnauthenticatedError`."""
        self._callers.authenticate(call)

    def verify(self, call: Call, text: str, access: Access, min_revision: str) -> Answer:
        """Answer whether one of the tokens in `text` permits `access` now.

        Raises `FieldError` for a question without meaning, the caller's errors, `WrongRevisionError`, and
        `CannotKnowError` when the answer could be stale.
        """
        if access.org == RESERVED_ORG:
            raise FieldError("access.org", f"{RESERVED_ORG} is the service's own org; ask about one of yours")
        if min_revision:
            self._view.require_revision(Revision.parse("min_revision", min_revision))
        caller_subject = ""  # nobody vouches for a holder who asks about the very token in hand
        if not _asks_about_itself(call.authorization, text):
            caller = self._callers.permit(call, permissions.to_verify(access.org, access.app))
            caller_subject = caller.token.identity.subject
        now = self._clock.now_ms() // 1000
        self._view.require_fresh()
        decision = decide(
            text, access, Circumstances(now, self._leeway, caller_subject), self._keys, self._view
        )
        if decision and decision.token is not None:
            self._last_used.record(decision.token, now)
        return Answer(decision, self._view.revision, self._view.store_time)


def _asks_about_itself(authorization: str | None, text: str) -> bool:
    """Tell whether the only token in play is the one under question: its holder learns nothing new."""
    try:
        asked = header.split(text)
        return len(asked) == 1 and (authorization is None or header.split(authorization) == asked)
    except TokenError:
        return False
