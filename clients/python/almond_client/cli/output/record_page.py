"""Prints one record as a page, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from almond_client.cli.output import console, record_view
from almond_core.model import RESERVED_ORG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almond.v1 import token_pb2

_ORGS: Final = {"": "several", RESERVED_ORG: "any"}
_WIDTH: Final = 12


def show(record: token_pb2.TokenRecord, now: float) -> None:
    """Print a record; times are exact, and relative to `now` (unix seconds)."""
    state = record_view.state(record, now)
    # The state is beside the id, where no name chosen by somebody can be mistaken for it.
    console.out().print(f"{console.clean(record.id)}  {state}", style="bold")
    for name, value in _lines(record, now):
        console.out().print(f"  {name:<{_WIDTH}} {console.clean(value)}")


def _lines(record: token_pb2.TokenRecord, now: float) -> Iterator[tuple[str, str]]:
    yield "name", record.name
    yield "kind", record.kind
    yield "org", _ORGS.get(record.org, record.org)
    if record.app:
        yield "app", record.app
    yield "subject", record.subject or "none: anybody who holds it may use it"
    if record.branch_id:
        yield "derived from", record.parent_id
    yield "registered by" if record.branch_id else "minted by", record.minter_token_id or "the operator"
    yield "created", _time(record.create_time.seconds, now)
    yield "expires", _time(record.expire_time.seconds, now) if record.HasField("expire_time") else "never"
    used = record_view.last_use(record)
    yield "last used", f"{'never' if used is None else _time(used, now)}, as far as servers have reported it"
    if record.HasField("revoke_time"):
        by = f", by {record.revoked_by}" if record.revoked_by else ""
        yield "revoked", _time(record.revoke_time.seconds, now) + by
        if record.revoke_reason:
            yield "reason", record.revoke_reason
    elif record.HasField("revoke_due_time"):
        yield "will end", f"{_time(record.revoke_due_time.seconds, now)}, because it was rotated"
    if record.successor_id:
        yield "successor", record.successor_id
    yield "may", record_view.permissions(record, now)
    for number, caveat in enumerate(record.caveats, start=1):
        yield "caveats" if number == 1 else "", caveat


def _time(seconds: float, now: float) -> str:
    return f"{console.day_and_time(seconds)} ({console.relative(seconds, now)})"
