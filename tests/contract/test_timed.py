"""The store's times have the names of what was asked for, failures included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.sql.schema import migrate
from almond_server.adapters.sql.store import open_store
from almond_server.adapters.sql.timed import operation
from almond_server.domain.revocations import Revocation
from almond_server.domain.stores import Actor
from almond_server.errors import StoreUnavailableError

if TYPE_CHECKING:
    from pathlib import Path


async def test_each_transaction_is_timed_by_what_it_is_for(tmp_path: Path) -> None:
    heard: list[tuple[str, float]] = []
    migrate(tmp_path / "almond.db")
    store = open_store(tmp_path / "almond.db", lambda name, seconds: heard.append((name, seconds)))
    try:
        await store.tokens.get("nothing")
        await store.revocations.revoke([Revocation("t", None, None)], Actor("operator"), "", None, 0)
        await store.policies.rules([])
    finally:
        await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.audit.newest(1)
    assert [name for name, _ in heard] == [
        *("tokens.get", "revocations.commit", "policies.rules", "audit.newest"),
    ]
    assert all(0 < seconds < 60 for _, seconds in heard)


def test_a_function_from_elsewhere_has_no_name_of_its_own() -> None:
    assert operation(lambda _: None) == operation(print) == "other"
