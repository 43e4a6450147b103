"""Prints what `almond tokens revoke` would revoke, and what it has revoked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from almond_client.cli.output import console, record_table, record_view
from almond_client.errors import AlmondRpcError

if TYPE_CHECKING:
    from almond.v1 import token_service_pb2 as pb
    from almond_client.cli.arguments.revoke_targets import Target

_NOTHING_LEFT: Final = "had nothing left to revoke"
_CUT_OFF: Final = ("org", "subject")
_COUNTED: Final = 10_000
"""The service stops here when it counts the tokens that one entry revokes."""


def as_json(target: Target, result: pb.RevokeResponse | AlmondRpcError, *, is_done: bool) -> dict[str, Any]:
    """Return the result of revoking a target, for programs; without `is_done`, of a dry run."""
    shown = {"target": target.name, "dry_run": not is_done}
    if isinstance(result, AlmondRpcError):
        problem = {"code": result.code.name, "reason": result.reason, "message": result.message}
        return shown | {"revoked": False, "error": problem}
    if not is_done:
        ids = [each.id for each in result.records]
        return shown | {
            "revoked": False,
            "tokens": result.entries,
            "first_ids": ids,
            "first_records": [record_view.as_json(each, time.time()) for each in result.records],
            "includes_own_token": result.includes_caller,
        }
    return shown | {
        "revoked": True,
        "entries": result.entries,
        "revision": result.revision,
        "includes_own_token": result.includes_caller,
    }


def show_preview(target: Target, preview: pb.RevokeResponse) -> None:
    """Print how many tokens a target covers, the first of them, and whether the caller's is among them."""
    count = _number(preview.entries, "token", "tokens") + (" or more" if preview.entries >= _COUNTED else "")
    console.out().print(console.clean(f"{target.name}: {count} to revoke"), style="bold")
    if preview.records:
        record_table.show(preview.records, time.time())
    if len(preview.records) < preview.entries and preview.records:
        console.out().print(f"  ... and {preview.entries - len(preview.records)} more")
    if target.request.WhichOneof("target") == "org":
        console.out().print("  and, for this org only, tokens of several orgs, which are not counted here")
    if preview.includes_caller:
        console.warn("YOUR OWN token is among them: you cannot use it after this")


def show_done(target: Target, result: pb.RevokeResponse) -> None:
    """Print the result of a target that was revoked, on one line."""
    console.out().print(
        console.clean(f"{target.name} {_done(target, result)}, at revision {result.revision}")
    )
    if result.includes_caller:
        console.warn("your own token was among them")


def _done(target: Target, result: pb.RevokeResponse) -> str:
    if not target.is_bulk:
        return "revoked" if result.entries else "was already revoked"
    if not result.entries:
        return _NOTHING_LEFT
    # An org or a subject is revoked by a point in time, even if it has no token yet: no tokens are counted.
    kind = target.request.WhichOneof("target")
    what = f", everything issued {_when(getattr(target.request, kind))}" if kind in _CUT_OFF else ""
    return f"revoked{what}, by {_number(result.entries, 'entry', 'entries')}"


def _when(target: pb.OrgTarget | pb.SubjectTarget) -> str:
    if not target.HasField("issued_before"):
        return "so far"
    return f"before {console.day_and_time(target.issued_before.seconds)}"


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
