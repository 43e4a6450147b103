"""The plans of lists: an index gives the order, and a page reads only what is between its ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, event, insert, text

from almond_server.adapters.sql import record_pages
from almond_server.adapters.sql.record_rows import values_of
from almond_server.adapters.sql.store import open_store
from almond_server.adapters.sql.tables import TOKENS
from almond_server.domain.selections import Listing, RecordFilter
from support.samples import NOW, record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from almond_server.adapters.sql.database import Location
    from almond_server.adapters.sql.store import Store
    from almond_server.domain.stores import Position

RECORDS = 5000
AFTER, TO = (NOW * 1000 + 4000, "z"), (NOW * 1000 + 3950, "")
# The range of an index, in the words of each database.
IN_RANGE = {
    "sqlite": r"tokens_by_{} \(org=\? .*created_at_ms(,id\))?>.* AND \(?created_at_ms(,id\))?<",
    "postgresql": r"tokens_by_{}\b[^:]*\n *Index Cond: \(\(org = .*ROW\(created_at_ms, id\) >= ",
}


def _fill(connection: Connection) -> None:
    rows = [
        values_of(
            record(
                created_at_ms=NOW * 1000 + each,
                app=("web", "api")[each % 2],
                org=("acme", "b")[each % 9 == 0],
            )
        )
        for each in range(RECORDS)
    ]
    connection.execute(insert(TOKENS), rows)
    connection.execute(text("ANALYZE"))


@pytest.fixture
async def filled(location: Location) -> AsyncIterator[Store]:
    opened = open_store(location)
    await opened.tokens._database.write("test", _fill)
    yield opened
    await opened.close()


async def plans(store: Store, listing: Listing, after: Position | None, to: Position | None) -> list[str]:
    """Return how the store runs the statements of a page over tokens, each as one text."""
    found: list[str] = []

    def explain(connection: Connection) -> None:
        is_own = False

        @event.listens_for(connection, "before_cursor_execute")
        def before(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
            nonlocal is_own
            if is_own or "FROM tokens" not in statement:
                return
            is_own = True
            word = "EXPLAIN" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
            cursor.execute(f"{word} {statement}", parameters)
            found.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
            is_own = False

        record_pages.page(connection, listing, after, 100, to)
        record_pages.nth(connection, listing, after, 50)
        found.append(connection.dialect.name)

    await store.tokens._database.read("test", explain)
    return found


@pytest.mark.parametrize(
    "wanted", [RecordFilter(), RecordFilter(name="no such"), RecordFilter(unused_since=NOW - 9)], ids=str
)
@pytest.mark.parametrize("app", [None, "web"])
@pytest.mark.parametrize("show_all", [True, False])
async def test_a_page_reads_only_what_is_between_its_ends(
    filled: Store, wanted: RecordFilter, app: str | None, show_all: bool
) -> None:
    listing = Listing("acme", app, show_all, NOW, wanted)
    page, nth, dialect = await plans(filled, listing, AFTER, TO)
    index = "org" if app is None else "app"
    assert re.search(IN_RANGE[dialect].format(index), page), page
    assert "USE TEMP B-TREE" not in page
    assert "Seq Scan on tokens  " not in page + nth
    assert f"tokens_by_{index}" in nth
    assert "Sort Key: tokens" not in nth


async def test_a_filter_that_matches_nothing_finds_nothing_and_ends(filled: Store) -> None:
    listing = Listing("acme", None, True, NOW, RecordFilter(name="no such"))
    after, calls = None, 0
    while True:
        to = await filled.tokens.nth(listing, after, 1000)
        assert await filled.tokens.page(listing, after, 100, to) == []
        after, calls = to, calls + 1
        if after is None:
            break
    in_acme = RECORDS - len(range(0, RECORDS, 9))
    assert calls == in_acme // 1000 + 1
