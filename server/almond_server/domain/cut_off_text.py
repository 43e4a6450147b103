"""A cut-off in words: for people, as a row of the audit log, and read back from there."""

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
    """Say what it revokes, in a few words."""
    if cut_off.until_ms is None:
        return f"everything made with key {cut_off.name}"
    return f"everything of {cut_off.scope} {cut_off.name} issued until {_time(cut_off.until_ms)}"


def action(cut_off: CutOff) -> str:
    """Return the audit log's name for it."""
    return _ACTIONS[cut_off.scope]


def detail(cut_off: CutOff, reason: str) -> str:
    """Return what the audit log says of it besides its name."""
    if cut_off.until_ms is None:
        return reason
    until = f"until {_time(cut_off.until_ms)}"
    return f"{until}: {reason}" if reason else until


def read(action: str, name: str, detail: str) -> CutOff | None:
    """Read a row of the audit log; None if it is about something else. Raises `ValueError` if broken."""
    scope = _SCOPES.get(action)
    if scope is None:
        return None
    if scope is Scope.KEY:
        return CutOff(scope, name, None)
    found = _DETAIL.fullmatch(detail)
    if found is None:
        message = "no time that a cut-off was written with"
        raise ValueError(message)
    at = datetime.fromisoformat(f"{found[1]}+00:00")
    return CutOff(scope, name, (at - _EPOCH) // _MILLISECOND)


def _time(until_ms: int) -> str:
    at = _EPOCH + until_ms * _MILLISECOND
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
