"""Shows records of tokens as a table: for people at a terminal, and for what reads a pipe."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from rich.padding import Padding
from rich.text import Text

from almond_client.cli.output import console, record_view, table
from almond_core.model import RESERVED_ORG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from almond.v1 import token_pb2

    Times = Callable[[float], str]

COLUMNS: Final = ("ID", "NAME", "KIND", "ORG", "APP", "SUBJECT", "CREATED", "EXPIRES", "LAST USED", "STATE")
WIDE_COLUMNS: Final = (
    *("MINTED BY", "SUCCEEDED BY", "REVOKED ON"),
    *("REVOKED", "REVOKED BY", "REASON", "MAY"),
)
_NAME: Final = COLUMNS.index("NAME")
_MIN_NAME: Final = 12
_NONE: Final = "-"


def show(records: Sequence[token_pb2.TokenRecord], now: float, *, wide: bool = False, org: str = "") -> None:
    """Print records, each on one line if the terminal is wide enough, else as a paragraph each.

    A terminal gets times relative to `now` (unix seconds; exact ones if `wide`), and no column that has
    nothing to say: one that is empty in every row, STATE if all are live, ORG if it is `org` in all. A pipe
    gets every column, whole, with times in RFC 3339.
    """
    columns = COLUMNS + (WIDE_COLUMNS if wide else ())
    if not console.is_terminal():
        table.show(columns, [row(each, now, console.rfc3339, wide=wide) for each in records])
        return
    times = console.day_and_time if wide else partial(console.relative, now=now)
    rows = [row(each, now, times, wide=wide) for each in records]
    shown = _fitted(*_telling(columns, rows, org), console.out().width)
    if shown is not None:
        table.show(*shown)
        return
    for each, cells in zip(records, rows, strict=True):
        _paragraph(each, now, columns, cells)


def row(record: token_pb2.TokenRecord, now: float, times: Times, *, wide: bool = False) -> list[str]:
    """Return the cells of a record: of `COLUMNS`, and if `wide` of `WIDE_COLUMNS`; `times` writes times."""
    used = record_view.last_use(record)
    cells = [
        record.id,
        record.name,
        record.kind,
        {"": "(several)", RESERVED_ORG: "(any)"}.get(record.org, record.org),
        record.app,
        record.subject,
        times(record.create_time.seconds),
        times(record.expire_time.seconds) if record.HasField("expire_time") else "never",
        "" if used is None else times(used),
        record_view.state_in_words(record, now),
    ]
    return [
        console.clean(each) or _NONE for each in cells + (_wide_cells(record, now, times) if wide else [])
    ]


def leaf(record: token_pb2.TokenRecord, now: float, *, wide: bool = False) -> str:
    """Return a record as one line of a tree."""
    kind = "derived" if record.branch_id else record.kind
    app = f"app {record.app}" if record.app else ""
    parts = [record.id, record.name, kind, app, record.subject, record_view.state_in_words(record, now)]
    if wide:
        cells = row(record, now, console.day_and_time, wide=True)
        parts.append(f"({_sentence((COLUMNS + WIDE_COLUMNS)[6:], cells[6:])})")
    return console.clean("  ".join(part for part in parts if part))


def _wide_cells(record: token_pb2.TokenRecord, now: float, times: Times) -> list[str]:
    return [
        record.minter_token_id or "the operator",
        record.successor_id,
        times(record.revoke_due_time.seconds) if record.HasField("revoke_due_time") else "",
        times(record.revoke_time.seconds) if record.HasField("revoke_time") else "",
        record.revoked_by,
        record.revoke_reason,
        record_view.permissions(record, now),
    ]


def _telling(
    columns: Sequence[str], rows: Sequence[Sequence[str]], org: str
) -> tuple[list[str], list[list[str]]]:
    """Return the columns that have something to say, and the rows with only their cells."""
    silent = {"STATE": "live", "ORG": org}
    kept = [
        index
        for index, name in enumerate(columns)
        if {cells[index] for cells in rows} not in ({_NONE}, {silent.get(name, _NONE)})
    ]
    return [columns[index] for index in kept], [[cells[index] for index in kept] for cells in rows]


def _fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[Sequence[str], Sequence[Sequence[str]]] | None:
    """Return the table with names cut so that it fits into `width`; None if that is not enough."""
    sizes = table.widths(columns, rows)
    name_size = sizes[_NAME] - max(0, table.total(sizes) - width)
    if name_size < min(sizes[_NAME], _MIN_NAME):
        return None
    return columns, [
        [table.cut(cell, name_size) if index == _NAME else cell for index, cell in enumerate(cells)]
        for cells in rows
    ]


def _paragraph(
    record: token_pb2.TokenRecord, now: float, columns: Sequence[str], cells: Sequence[str]
) -> None:
    out = console.out()
    # The state is beside the id, where no name chosen by somebody can be mistaken for it.
    out.print(Text(f"{record.id}  {record_view.state_in_words(record, now)}", style="bold"))
    out.print(Padding(Text(_sentence(columns, cells)), (0, 0, 0, 4)), soft_wrap=False)


def _sentence(columns: Sequence[str], cells: Sequence[str]) -> str:
    named = zip(columns, cells, strict=True)
    return ", ".join(
        f"{name.lower()} {cell}" for name, cell in named if name not in {"ID", "STATE"} and cell != _NONE
    )
