"""The text forms of a cut-off: for people, and as a row of the audit log, from which it can be read back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from almond_server.domain.revocations import CutOff, Scope

_ACTIONS: Final = {Scope.ORG: "org.cut_off", Scope.SUBJECT: "subject.cut_off", Scope.KEY: "key.withdrawn"}
_SCOPES: Final = {action: scope for scope, action in _ACTIONS.items()}
_DETAIL: Final = re.compile(r"until (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z(?:: .*)?", re.DOTALL)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def subject_matter(cut_off: CutOff) -> str:
    """Describe what a cut-off revokes, in a few words for people."""
    if cut_off.until_ms is None:
        return f"everything made with key {cut_off.name}"
    return f"everything of {cut_off.scope} {cut_off.name} issued until {_time(cut_off.until_ms)}"


def action(cut_off: CutOff) -> str:
    """Return the action under which the audit log records a cut-off."""
    return _ACTIONS[cut_off.scope]


def detail(cut_off: CutOff, reason: str) -> str:
    """Return the detail that the audit log records for it: its time, if it has one, and the reason."""
    if cut_off.until_ms is None:
        return reason
    until = f"until {_time(cut_off.until_ms)}"
    return f"{until}: {reason}" if reason else until


def read(action: str, name: str, detail: str) -> CutOff | None:
    """Read a cut-off from a row of the audit log; None if the row is of another action.

    Raises `ValueError` if the detail holds no time in the form of `detail`.
    """
    scope = _SCOPES.get(action)
    if scope is None:
        return None
    if scope is Scope.KEY:
        return CutOff(scope, name, None)
    match = _DETAIL.fullmatch(detail)
    if match is None:
        message = "the detail holds no time of a cut-off"
        raise ValueError(message)
    at = datetime.fromisoformat(f"{match[1]}+00:00")
    return CutOff(scope, name, (at - _EPOCH) // _MILLISECOND)


def _time(until_ms: int) -> str:
    at = _EPOCH + until_ms * _MILLISECOND
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
