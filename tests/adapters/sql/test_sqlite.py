"""The SQLite store beyond the ports: files, restarts, crashes, a full disk, versions, times."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from almond_server.adapters.sql.schema import check, migrate
from almond_server.adapters.sql.store import Store, open_store
from almond_server.adapters.sql.tables import METADATA
from almond_server.domain.records import Use
from almond_server.domain.selections import OfOrg, Selection
from almond_server.domain.stores import ExpiryRule, Idempotency, SealedKey
from almond_server.errors import StartError, StoreUnavailableError
from support.samples import EVERYTHING, NOW, OPERATOR, record, whole

if TYPE_CHECKING:
    from sqlalchemy import Connection

SERVER = Path(__file__).resolve().parents[3] / "server"

WRITER = """
import asyncio, sys
from pathlib import Path
from almond_server.adapters.sql.store import open_store
from almond_server.domain.stores import Actor
from almond_server.domain.revocations import Revocation

async def main():
    store = open_store(Path(sys.argv[1]))
    number = 0
    while True:
        number += 1
        entry = Revocation(f"t{number}", None, None)
        await store.revocations.revoke([entry], Actor("operator"), "", None, 1)
        print(number, flush=True)

asyncio.run(main())
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def start_writer(database: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(SERVER)}
    command = [sys.executable, "-c", WRITER, str(database)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def modes(directory: Path) -> dict[str, int]:
    return {path.name: mode(path) for path in directory.iterdir()}


def set_version(path: Path, version: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()


async def test_everything_is_still_there_after_reopening(database: Path) -> None:
    first = open_store(database)
    minted = await first.tokens.add(record(), OPERATOR, None, NOW)
    await first.keys.add(SealedKey("k1", b"sealed", NOW), OPERATOR, NOW)
    await first.revocations.revoke([whole("t")], OPERATOR, "", None, NOW)
    before = await first.revocations.reading(NOW)
    rows = await first.audit.newest(9)
    await first.close()

    second = open_store(database)
    assert await second.revocations.reading(0) == before
    assert [each.revocations for each in await second.revocations.changes_after(0, 9)] == [(whole("t"),)]
    assert await second.tokens.get(minted.token_id) == minted
    assert [key.key_id for key in await second.keys.all()] == ["k1"]
    assert await second.audit.newest(9) == rows
    await second.close()


async def test_two_databases_have_two_epochs(database: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    migrate(other)
    epochs = set()
    for path in (database, other):
        store = open_store(path)
        epochs.add((await store.revocations.reading(NOW)).epoch)
        await store.close()
    assert len(epochs) == 2


@pytest.mark.parametrize("turn", range(3))
async def test_an_acknowledged_revocation_survives_kill_9(database: Path, turn: int) -> None:
    with start_writer(database) as writer:
        assert writer.stdout is not None
        acknowledged = 0
        for _ in range(5 + turn):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    store = open_store(database)
    changes = await store.revocations.changes_after(0, 10_000)
    assert len(changes) >= acknowledged
    assert [change.number for change in changes] == list(range(1, len(changes) + 1))
    assert (await store.revocations.reading(NOW)).number == len(changes)
    await store.close()


async def test_two_processes_number_their_revocations_together(store: Store, database: Path) -> None:
    with start_writer(database) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for each in range(20):
            await store.revocations.revoke([whole(f"mine{each}")], OPERATOR, "", None, NOW)
        writer.kill()
    changes = await store.revocations.changes_after(0, 100_000)
    assert [change.number for change in changes] == list(range(1, len(changes) + 1))
    assert len(changes) > 20


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_nobody_else_can_read_the_files(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        migrate(tmp_path / "almond.db")
        store = open_store(tmp_path / "almond.db")
        await store.revocations.revoke([whole("t")], OPERATOR, "", None, NOW)
        files = modes(tmp_path)
        await store.close()
    finally:
        os.umask(before)
    assert files == dict.fromkeys(("almond.db", "almond.db-shm", "almond.db-wal"), 0o600)


@pytest.mark.parametrize("name", ["with space", "100%", "what?mode=memory", "a#b", "\u00e9"])
async def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "almond.db"
    path.parent.mkdir()
    migrate(path)
    await open_store(path).close()
    assert path.stat().st_size > 0


async def test_a_commit_waits_for_the_disk(store: Store) -> None:
    def settings(connection: object) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]  # type: ignore[attr-defined]

    assert await store.database.write("test", settings) == ["wal", 2, 1]


async def revoke_on_and_on(store: Store) -> None:
    for each in range(1000):
        await store.revocations.revoke([whole(f"t{each}")], OPERATOR, "x" * 256, None, NOW)


async def test_a_full_disk_changes_nothing_and_is_told(store: Store) -> None:
    await store.tokens.add(record(), OPERATOR, None, NOW)
    before = await store.audit.newest(1000)
    await store.database.write(
        "test", lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=1")
    )
    with pytest.raises(StoreUnavailableError, match="full"):
        await revoke_on_and_on(store)
    refused = (await store.revocations.reading(NOW)).number
    assert 0 < refused < 1000
    with pytest.raises(StoreUnavailableError):
        await store.tokens.add(record(name="x" * 10_000), OPERATOR, None, NOW)
    assert (await store.revocations.reading(NOW + 1000)).number == refused
    assert len(await store.revocations.changes_after(0, 2000)) == refused
    assert len(await store.audit.newest(2000)) == len(before) + refused
    assert len(await store.tokens.page(EVERYTHING, None, 9)) == 1

    await store.database.write(
        "test", lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    )
    done = await store.revocations.revoke([whole(f"t{refused}")], OPERATOR, "", None, NOW)
    assert done.number == refused + 1


async def test_a_store_without_its_newest_revision_is_unavailable(store: Store, database: Path) -> None:
    await store.revocations.revoke([whole("a")], OPERATOR, "", None, NOW)
    with sqlite3.connect(database) as other:  # as between two statements of a restore
        other.execute("DELETE FROM revisions")
    with pytest.raises(StoreUnavailableError):
        await store.revocations.reading(NOW)
    with pytest.raises(StoreUnavailableError):
        await store.revocations.revoke([whole("b")], OPERATOR, "", None, NOW)


async def test_a_writer_that_never_ends_makes_the_store_unavailable(store: Store, database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError):
        await store.revocations.revoke([whole("t")], OPERATOR, "", None, NOW)
    assert (await store.revocations.reading(NOW)).number == 0
    other.close()
    assert (await store.revocations.revoke([whole("t")], OPERATOR, "", None, NOW)).number == 1


async def test_a_failure_that_nobody_waits_for_any_more_is_not_printed(store: Store) -> None:
    def work(connection: Connection) -> None:
        time.sleep(0.1)
        connection.exec_driver_sql("SELECT * FROM nowhere")

    printed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: printed.append(context))
    asking = asyncio.create_task(store.database.read("test", work))
    await asyncio.sleep(0.02)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    with pytest.raises(StoreUnavailableError):
        await store.database.read("test", work)  # after it, on the same thread
    del asking
    gc.collect()
    assert printed == []


async def test_a_closed_store_is_unavailable(database: Path) -> None:
    store = open_store(database)
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.revocations.reading(NOW)
    with pytest.raises(StoreUnavailableError):
        await store.revocations.revoke([whole("t")], OPERATOR, "", None, NOW)


async def test_what_is_refused_names_no_value(store: Store) -> None:
    minted = await store.tokens.add(record(name="a-private-name"), OPERATOR, None, NOW)
    with pytest.raises(StoreUnavailableError) as refused:
        await store.tokens.add(minted, OPERATOR, None, NOW)
    assert "a-private-name" not in f"{refused.value}{refused.value.__cause__}"


def test_a_missing_database_is_not_made_by_opening(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="almond init"):
        open_store(tmp_path / "almond.db")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_wants_migrating(tmp_path: Path) -> None:
    path = tmp_path / "almond.db"
    path.touch(mode=0o600)
    with pytest.raises(StartError, match="almond migrate"):
        check(path)
    migrate(path)
    check(path)


def test_a_database_of_a_newer_version_is_left_alone(database: Path) -> None:
    set_version(database, "9999")
    content = database.read_bytes()
    for use in (check, migrate):
        with pytest.raises(StartError, match="newer"):
            use(database)
    assert database.read_bytes() == content


def test_what_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "almond.db"
    path.write_bytes(b"not a database at all" * 100)
    for use in (check, migrate):
        with pytest.raises(StartError, match=r"almond\.db"):
            use(path)
    assert path.read_bytes().startswith(b"not a database")


async def test_migrating_again_keeps_everything(database: Path) -> None:
    store = open_store(database)
    await store.revocations.revoke([whole("t")], OPERATOR, "", None, NOW)
    before = await store.revocations.reading(NOW)
    await store.close()
    migrate(database)
    store = open_store(database)
    assert await store.revocations.reading(NOW) == before
    await store.close()


def test_queries_and_migrations_agree_on_the_tables(database: Path) -> None:
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


@pytest.mark.parametrize("exchange", [True, False])
async def test_a_file_that_was_deleted_or_exchanged_takes_nothing_more(
    database: Path, tmp_path: Path, exchange: bool
) -> None:
    store = open_store(database)
    await store.revocations.revoke([whole("first")], OPERATOR, "", None, NOW)
    kept = tmp_path / "kept.db"
    database.rename(kept)  # noqa: ASYNC240 - a test may wait for the disk
    if exchange:
        migrate(database)
    with pytest.raises(StoreUnavailableError):
        await store.revocations.revoke([whole("second")], OPERATOR, "", None, NOW)
    with pytest.raises(StoreUnavailableError):
        await store.revocations.reading(NOW)
    await store.close()


async def test_each_transaction_is_timed_by_the_name_of_its_operation(database: Path) -> None:
    timed: list[tuple[str, float]] = []
    store = open_store(database, lambda operation, seconds: timed.append((operation, seconds)))
    tokens, revocations, of_acme = store.tokens, store.revocations, Selection(OfOrg("acme"))
    made, request = record(), Idempotency(b"key", b"content")
    rule = ExpiryRule("acme", "*", None, 60)
    expected = {
        "tokens.add": tokens.add(made, OPERATOR, None, NOW),
        "tokens.answered": tokens.answered(request, NOW),
        "tokens.add_derived": tokens.add_derived(replace(made, lineage=(b"b" * 16,)), OPERATOR, NOW),
        "tokens.get": tokens.get("nothing"),
        "tokens.select": tokens.select(of_acme, NOW),
        "tokens.places": tokens.orgs_and_apps(of_acme, NOW),
        "other": tokens.record_last_used([Use(made.token_id, (), NOW)]),
        "tokens.page": tokens.page(EVERYTHING, None, 9),
        "tokens.home_orgs": tokens.home_orgs([made.token_id]),
        "revocations.commit": revocations.revoke([whole("t")], OPERATOR, "", None, NOW),
        "revocations.answered": revocations.answered(request, NOW),
        "revocations.reading": revocations.reading(NOW),
        "revocations.changes_after": revocations.changes_after(0, 9),
        "revocations.mark_of": revocations.mark_of(0),
        "revocations.withdrawals": revocations.page(1, None, 9),
        "revocations.cut_offs": revocations.cut_offs(1),
        "revocations.begin_epoch": revocations.begin_epoch(OPERATOR, NOW),
        "revocations.prune": revocations.prune(9),
        "keys.add": store.keys.add(SealedKey("k1", b"sealed", NOW), OPERATOR, NOW),
        "keys.all": store.keys.all(),
        "policies.put": store.policies.put(rule, OPERATOR, NOW),
        "policies.delete": store.policies.delete("acme", "*", OPERATOR, NOW),
        "policies.rules": store.policies.rules([]),
        "audit.newest": store.audit.newest(9),
        "audit.page": store.audit.page(0, 9),
    }
    for operation, call in expected.items():
        await call
        assert [name for name, _ in timed] == [operation]
        timed.clear()
    await revocations.revoke_selection(of_acme, None, OPERATOR, "", None, NOW)
    # The store's time has advanced by a minute, so it is written.
    await revocations.reading(NOW + 60)
    assert [name for name, _ in timed] == ["revocations.commit", *["revocations.reading"] * 2]
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await store.tokens.get("nothing")
    assert timed[-1][0] == "tokens.get"
    assert all(0 < seconds < 60 for _, seconds in timed)
