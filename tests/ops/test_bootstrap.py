"""`almond init`: an admin token whose text could not be written is not left valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.sql.store import open_store
from almond_server.adapters.system_clock import SystemClock
from almond_server.data_dir import paths
from almond_server.domain.selections import Listing
from almond_server.ops import bootstrap

if TYPE_CHECKING:
    from pathlib import Path


def unfinished_files(directory: Path) -> list[Path]:
    return list(directory.glob(".*"))


async def test_an_admin_token_that_cannot_be_written_is_revoked(tmp_path: Path) -> None:
    await bootstrap.init(tmp_path)
    file = paths.admin_token(tmp_path)
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=file.name):
        await bootstrap.init(tmp_path, new_admin_token=True)
    store = open_store(paths.database(tmp_path))
    try:
        listing = Listing("almond", None, show_all=True, now=SystemClock().now_ms() // 1000)
        newest, first = await store.tokens.page(listing, None, 9)
    finally:
        await store.close()
    assert (newest.revoke_reason, first.revoked_at) == ("its text could not be written", None)
    assert unfinished_files(tmp_path) == []
