"""Lists as one bound parameter of a statement: the fastest way, which differs by database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Subquery, Text, any_, bindparam, func, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection


def in_list(connection: Connection, column: ColumnElement[Any], ids: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that a column is one of `ids`."""
    if connection.dialect.name == "postgresql":
        # PostgreSQL estimates an array by its length and uses an index for each id; not so a subquery.
        return column == any_(bindparam(None, list(ids), ARRAY(Text)))
    return column.in_(select(func.json_each(json.dumps(list(ids))).table_valued("value").c.value))


def values_table(connection: Connection, rows: Sequence[tuple[str, int | None]]) -> Subquery:
    """Return a table of these rows, with the columns `id` and `number`, to insert from."""
    if connection.dialect.name == "postgresql":
        ids = bindparam(None, [each for each, _ in rows], ARRAY(Text))
        numbers = bindparam(None, [each for _, each in rows], ARRAY(BigInteger))
        each = func.unnest(ids, numbers).table_valued("id", "number").render_derived()
        return select(each.c.id, each.c.number).subquery()
    array = func.json_each(json.dumps(rows)).table_valued("value")
    columns = (
        func.json_extract(array.c.value, f"$[{index}]").label(name)
        for index, name in enumerate(("id", "number"))
    )
    return select(*columns).subquery()
