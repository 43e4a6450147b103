"""Lays out a table: a header, and one line a row. Rows are never broken over lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

from almond_client.cli.output import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    Row = Sequence[str]

_BETWEEN: Final = "  "
_CUT: Final = "..."


def show(columns: Row, rows: Sequence[Row]) -> None:
    """Print a table, however wide."""
    header, *lines = laid_out(columns, rows)
    # Colour only: in a pipe the header is the same text.
    console.out().print(header, style="bold")
    for each in lines:
        console.out().print(each)


def laid_out(columns: Row, rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table, the header first. Lines do not end in spaces."""
    sizes = widths(columns, rows)
    return [
        _BETWEEN.join(_filled(cell, size) for cell, size in zip(row, sizes, strict=True)).rstrip()
        for row in (columns, *rows)
    ]


def widths(columns: Row, rows: Sequence[Row]) -> list[int]:
    """Return the width of each column, in cells of a terminal."""
    return [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]


def total(sizes: Sequence[int]) -> int:
    """Return the width of a table whose columns have these widths."""
    return sum(sizes) + len(_BETWEEN) * (len(sizes) - 1)


def cut(text: str, size: int) -> str:
    """Return `text`, cut to `size` cells with `...` at its end if it is longer."""
    if cell_len(text) <= size:
        return text
    return set_cell_size(text, size - len(_CUT)).rstrip() + _CUT


def _filled(cell: str, size: int) -> str:
    return cell + " " * (size - cell_len(cell))
