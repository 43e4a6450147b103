"""Recovery of cut-offs that a store lost, from rescue files, Redis and the audit log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from almond_server.adapters.redis.feed import RedisFeed
from almond_server.adapters.sql.store import Store, open_store
from almond_server.data_dir import master_key, paths, rescue_file
from almond_server.domain.feed import RevocationPage, Snapshot
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import Change, CutOff, Revocation, Scope
from almond_server.domain.stores import Actor
from almond_server.errors import StartError
from almond_server.ops import bootstrap, recovery
from almond_server.ops.valkey_child import ValkeyChild
from support.samples import record

OPERATOR = Actor("operator")
TOKEN = "AZqhxDUAcACAAAAAAAAAAA"
CUT_OFFS = [
    CutOff(Scope.KEY, "k7", None),
    CutOff(Scope.ORG, "acme", 1_800_000_000_123),
    CutOff(Scope.SUBJECT, "user:ann", 1_800_000_000_456),
]


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    await bootstrap.init(tmp_path)
    return tmp_path


@pytest.fixture
async def store(data_dir: Path) -> AsyncIterator[Store]:
    opened = open_store(paths.database(data_dir))
    yield opened
    await opened.close()


async def cut_offs_in(store: Store) -> list[CutOff]:
    return list(await store.revocations.cut_offs(99))


async def test_what_is_in_a_rescue_file_is_healed(data_dir: Path, store: Store) -> None:
    lower = CutOff(Scope.ORG, "acme", 1_800_000_000_000)
    await store.revocations.revoke([], OPERATOR, "", None, 0, [lower])
    path = rescue_file.write(
        data_dir, Revision("0123abcd", 7), [Revocation(TOKEN, None, None)], [lower, *CUT_OFFS]
    )
    done = await recovery.heal(data_dir, paths.database(data_dir), [])
    assert (done.entries, await cut_offs_in(store)) == ({path.name: 4}, CUT_OFFS)


async def test_what_is_in_redis_is_put_back(data_dir: Path, store: Store) -> None:
    with ValkeyChild(data_dir) as valkey:
        key = master_key.feed_key(master_key.read(paths.master_key(data_dir)))
        feed = RedisFeed(valkey.url, key, "0123abcd")
        await feed.publish_snapshot(Snapshot(1, b"1", _pages(RevocationPage((), CUT_OFFS[:1]))))
        await feed.append(Change(2, b"2", b"1", (), tuple(CUT_OFFS[1:])))
        await feed.close()
        done = await recovery.restored(data_dir, paths.database(data_dir), valkey.url, None)
    assert (done.entries["Redis"], await cut_offs_in(store)) == (3, CUT_OFFS)


@pytest.mark.parametrize("exported", [True, False])
async def test_what_is_in_the_audit_log_is_put_back(data_dir: Path, store: Store, exported: bool) -> None:
    location = paths.database(data_dir)
    await store.revocations.revoke([], OPERATOR, "broken: into\nall", None, 0, CUT_OFFS)
    export = data_dir / "audit.jsonl"
    lines = [line async for line in recovery.export_audit(location, 0)]
    export.write_text("\n".join(lines) + "\n")
    lost = "DELETE FROM cut_offs"
    await store.database.write("test", lambda connection: connection.exec_driver_sql(lost).close())
    if exported:
        await store.database.write(
            "test", lambda connection: connection.exec_driver_sql("DELETE FROM audit").close()
        )
    done = await recovery.restored(data_dir, location, None, export if exported else None)
    assert done.entries[export.name if exported else "its own audit log"] == 3
    assert await cut_offs_in(store) == CUT_OFFS


async def test_an_export_that_was_changed_is_refused(data_dir: Path, store: Store) -> None:
    export = data_dir / "audit.jsonl"
    export.write_text('{"action": "org.cut_off", "target": "acme", "detail": "until tomorrow"}\n')
    with pytest.raises(StartError, match="audit export"):
        await recovery.restored(data_dir, paths.database(data_dir), None, export)
    assert await cut_offs_in(store) == []


async def _pages(*pages: RevocationPage) -> AsyncIterator[RevocationPage]:
    for each in pages:
        yield each


async def test_an_exported_row_has_the_old_keys_a_readable_time_and_the_token(
    data_dir: Path, store: Store
) -> None:
    await store.tokens.add(record(name="ci"), OPERATOR, None, 1_800_000_000)
    *_, line = [line async for line in recovery.export_audit(paths.database(data_dir), 0)]
    row = json.loads(line)
    assert list(row) == [
        *("seq", "time", "at", "actor", "action", "target", "detail", "revision", "org", "app", "name")
    ]
    assert (row["at"], row["time"]) == (1_800_000_000, "2027-01-15T08:00:00Z")
    assert (row["action"], row["org"], row["app"], row["name"]) == ("token.minted", "acme", "web", "ci")
