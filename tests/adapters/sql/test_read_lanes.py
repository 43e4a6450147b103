"""The reads that prove the view do not wait for long reads of records."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from almond_server.adapters.sql.schema import migrate
from almond_server.adapters.sql.store import open_store
from support.samples import NOW


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    path = tmp_path / "almond.db"
    migrate(path)
    return path


async def test_the_store_is_looked_at_while_others_read_on_and_on(location: Path | str) -> None:
    store, over = open_store(location), threading.Event()
    reading = [asyncio.create_task(store.database.read("test", lambda _: over.wait(30))) for _ in range(5)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert (await store.revocations.reading(NOW)).number == 0
        assert await store.revocations.changes_after(0, 10) == []
        assert await store.revocations.mark_of(0) is not None
    over.set()
    await asyncio.gather(*reading)
    await store.close()
