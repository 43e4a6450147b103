"""`almond` with one of its guards taken out, so that the checker can show that it would notice.

Usage: unguarded.py GUARD WORDS..., with GUARD empty for none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from almond_client.cli import main
from almond_server.adapters.feed_entry import Codec
from almond_server.adapters.sql import tokens
from almond_server.ports import Change
from almond_server.service.relay import Relay
from almond_server.service.view import RevocationView
from almond_server.service.waiting import Waiting


def _take_out_relay() -> None:
    async def turn(self: Relay) -> None:
        """Do nothing."""

    _replace(Relay, "turn", turn)


def _take_out_gap_check() -> None:
    def apply(self: RevocationView, change: Change) -> bool:
        if change.number <= self.revision.number:
            return False
        self.take(change.withdrawals, change.cut_offs)
        self.stand_at(change.number, change.mark)
        return True

    _replace(RevocationView, "apply", apply)


def _take_out_age_check() -> None:
    _replace(RevocationView, "_objection", lambda self: self._alarm)


def _take_out_min_revision_check() -> None:
    async def reach(self: Waiting, *_: object) -> None:
        """Be content with what the view has."""

    _replace(Waiting, "reach", reach)
    _replace(RevocationView, "must_have", lambda *_: None)


def _take_out_minter_check() -> None:
    _replace(tokens, "_refuse_withdrawn", lambda *_: None)


def _take_out_hmac() -> None:
    def read(self: Codec, _kind: str, _place: str, fields: Any, parse: Callable[[Any], Any]) -> Any:
        try:
            return parse(json.loads(fields.get(b"body", b"")))
        except (ValueError, TypeError):
            return None

    _replace(Codec, "_read", read)


def _replace(place: Any, name: str, what: Any) -> None:
    getattr(place, name)  # a guard that has another name by now would otherwise stay in
    setattr(place, name, what)


GUARDS: dict[str, Callable[[], None]] = {
    "relay": _take_out_relay,
    "gap-check": _take_out_gap_check,
    "age-check": _take_out_age_check,
    "min-revision-check": _take_out_min_revision_check,
    "minter-check": _take_out_minter_check,
    "hmac": _take_out_hmac,
}

if __name__ == "__main__":
    guard, *sys.argv[1:] = sys.argv[1:]
    if guard:
        GUARDS[guard]()
    sys.argv[0] = "almond"
    main()
