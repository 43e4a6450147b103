"""Shows the records of tokens: as JSON for programs, as a table for people, and the state of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from almond_client.cli.output import console
from almond_client.review import org_text, review
from almond_core import wire
from almond_core.model import RESERVED_ORG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from almond.v1 import token_pb2


def state(record: token_pb2.TokenRecord, now: float) -> str:
    """Return `revoked`, `expired` or `live`; `now` in unix seconds."""
    if record.HasField("revoke_time"):
        return "revoked"
    if record.HasField("expire_time") and record.expire_time.seconds <= now:
        return "expired"
    return "live"


def as_json(record: token_pb2.TokenRecord, now: float) -> dict[str, Any]:
    """Return a record for programs, with times in RFC 3339 and null for those that are not set."""
    return {
        "id": record.id,
        "name": record.name,
        "kind": record.kind,
        "org": record.org,
        "app": record.app,
        "subject": record.subject,
        "state": state(record, now),
        "created_at": console.rfc3339(record.create_time.seconds),
        "expires_at": _optional(record.HasField("expire_time"), record.expire_time),
        "revoked_at": _optional(record.HasField("revoke_time"), record.revoke_time),
        "revoked_by": record.revoked_by,
        "reason": record.revoke_reason,
        "last_used_at": _optional(record.HasField("last_use_time"), record.last_use_time),
        "branch_id": record.branch_id,
        "parent": record.parent_id,
        "minter": record.minter_token_id,
        "minter_branch_ids": list(record.minter_branch_ids),
        "caveats": list(record.caveats),
        "summary": record.summary,
    }


def _optional(is_set: bool, time: Timestamp) -> str | None:
    return console.rfc3339(time.seconds) if is_set else None


def _permissions(record: token_pb2.TokenRecord, now: float) -> str:
    reviewed = review([wire.first_party(each.encode()) for each in record.caveats], int(now))
    if reviewed.permissions is None:
        return record.summary
    by_org: dict[str, list[str]] = {}
    for each in reviewed.permissions:
        by_org.setdefault(org_text(each.org), []).append(str(each))
    left = [f"{org}: {', '.join(targets)}" for org, targets in by_org.items()] or ["nothing at all"]
    return "; ".join((*left, *reviewed.conditions))


COLUMNS: Final = ("ID", "NAME", "KIND", "ORG", "APP", "SUBJECT", "CREATED", "EXPIRES", "LAST USED", "STATE")
WIDE_COLUMNS: Final = ("MINTED BY", "REVOKED", "REVOKED BY", "REASON", "MAY")


def row(record: token_pb2.TokenRecord, now: float, *, wide: bool = False) -> list[str]:
    """Return the cells of a record in a table: of `COLUMNS`, and if `wide` of `WIDE_COLUMNS` too."""
    cells = [
        record.id,
        record.name,
        record.kind,
        {"": "(several)", RESERVED_ORG: "(any)"}.get(record.org, record.org),
        record.app or "-",
        record.subject or "-",
        console.day_and_time(record.create_time.seconds),
        console.day_and_time(record.expire_time.seconds) if record.HasField("expire_time") else "never",
        console.day_and_minute(record.last_use_time.seconds) if record.HasField("last_use_time") else "-",
        state(record, now),
    ]
    if wide:
        revoked = record.HasField("revoke_time")
        cells += [
            record.minter_token_id or "the operator",
            console.day_and_time(record.revoke_time.seconds) if revoked else "-",
            record.revoked_by or "-",
            record.revoke_reason or "-",
            _permissions(record, now),
        ]
    return [console.clean(each) for each in cells]


def print_table(records: Sequence[token_pb2.TokenRecord], now: float, *, wide: bool = False) -> None:
    """Print records as a table, or on a terminal too narrow for it as one paragraph each."""
    out = console.out()
    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    columns = COLUMNS + (WIDE_COLUMNS if wide else ())
    for name in columns:
        # Cells may break over lines. Nothing is cut off, and an id stays in one piece, to be copied.
        table.add_column(name, overflow="fold", no_wrap=name == "ID")
    rows = [row(each, now, wide=wide) for each in records]
    for cells in rows:
        table.add_row(*cells)
    if out.measure(table, options=out.options.update(width=console.UNLIMITED)).minimum <= out.width:
        out.print(table, soft_wrap=False)
        return
    for each, cells in zip(records, rows, strict=True):
        # The state is beside the id, where no name chosen by somebody can be mistaken for it.
        out.print(Text(f"{each.id}  {state(each, now)}", style="bold"))
        out.print(Padding(_sentence(columns, cells), (0, 0, 0, 4)), soft_wrap=False)


def _sentence(columns: Sequence[str], cells: Sequence[str]) -> Text:
    named = zip(columns, cells, strict=True)
    return Text(
        ", ".join(
            f"{name.lower()} {cell}" for name, cell in named if name not in {"ID", "STATE"} and cell != "-"
        )
    )
