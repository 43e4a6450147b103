"""Verify: may this token do that? Nothing here awaits: all that an answer needs is in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from almond_core import header
from almond_core.decision import Decision, decide
from almond_core.errors import FieldError
from almond_core.model import RESERVED_ORG, Access, Circumstances
from almond_server.tokens import permissions

if TYPE_CHECKING:
    from almond_core.header import Presented
    from almond_server.domain.clock import Clock
    from almond_server.domain.revision import Revision
    from almond_server.revocation.index.view import RevocationView
    from almond_server.tokens.callers import Call, Callers
    from almond_server.tokens.key_ring import KeyRing
    from almond_server.tokens.last_used import LastUseRecorder


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision, the revision it rests on, and the store's time at that revision in unix seconds."""

    decision: Decision
    revision: Revision
    store_time: int


class Verifier:
    """Answers questions of services about tokens, and of holders about their own token."""

    def __init__(
        self,
        callers: Callers,
        keys: KeyRing,
        view: RevocationView,
        last_used: LastUseRecorder,
        clock: Clock,
        leeway: int,
    ) -> None:
        """Use `leeway` seconds for tokens whose start lies ahead of this machine's clock."""
        self._callers = callers
        self._keys = keys
        self._view = view
        self._last_used = last_used
        self._clock = clock
        self._leeway = leeway

    def authenticate(self, call: Call) -> None:
        """Raise `UnauthenticatedError` unless the caller has a genuine live token."""
        self._callers.authenticate(call)

    def verify(self, call: Call, text: str, access: Access, min_revision: Revision | None) -> Answer:
        """Answer whether one of the tokens in `text` permits `access` now.

        Raises `FieldError` for a question without meaning, the caller's errors, `WrongRevisionError`, and
        `CannotKnowError` if the view has not reached `min_revision` or is too old to answer.
        """
        if access.org == RESERVED_ORG:
            raise FieldError("access.org", f"{RESERVED_ORG} is the service's own org; ask about one of yours")
        if min_revision is not None:
            self._view.require_revision(min_revision)
        presented = header.present(text)
        # The subject of a holder that asks about its own token is empty: no caller vouches for it.
        caller_subject = ""
        if not _asks_about_itself(call, presented):
            caller = self._callers.permit(call, permissions.to_verify(access.org, access.app))
            caller_subject = caller.token.identity.subject
        now = self._clock.now_ms() // 1000
        self._view.require_fresh()
        circumstances = Circumstances(now, self._leeway, caller_subject)
        decision = decide(presented, access, circumstances, self._keys, self._view)
        if decision and decision.token is not None:
            self._last_used.record(decision.token, now)
        return Answer(decision, self._view.revision, self._view.store_time)


def _asks_about_itself(call: Call, presented: Presented) -> bool:
    """Tell whether the one token in question is also the call's only token: its holder learns nothing new."""
    return len(presented.texts) == 1 and (call.presented is None or call.presented == presented)
