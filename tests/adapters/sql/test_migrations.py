"""A database of an older version is upgraded to this one, with all its data."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import column, create_engine, select, table

from almond_server.adapters.sql import schema
from almond_server.adapters.sql.record_rows import values_of
from almond_server.adapters.sql.schema import check, migrate
from almond_server.adapters.sql.sqlite import create_file, for_migration, location
from almond_server.adapters.sql.store import open_store
from almond_server.adapters.sql.tables import METADATA
from almond_server.domain.records import Use
from almond_server.domain.revocations import Reading
from almond_server.domain.selections import OfSubject, Selection
from almond_server.domain.stores import AuditRow, Idempotency
from almond_server.errors import MinterRevokedError, StartError
from support.samples import DAY, EVERYTHING, NOW, OPERATOR, branch, part, record, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from almond_server.adapters.sql.store import Store

REQUEST = Idempotency(b"mint\x00caller\x00one", b"content")
LIVE = record(
    token_id="live",
    subject="ann",
    minter_token_id="root",
    minter_branch_ids=(branch(1), branch(2)),
    caveats=(b'["org","acme","*"]', '["label","é"]'.encode()),
)
GONE = record(
    token_id="gone",
    expires_at=None,
    minter_token_id="live",
    minter_branch_ids=(),
    caveats=(),
    created_at_ms=NOW * 1000 - 1,
    revoked_at=NOW,
    revoked_by="operator",
    revoke_reason="leaked",
)
MINTED = AuditRow(NOW, "operator", "token.minted", "live", "deploy", 0)

# As version 0001 wrote them, which knew neither derived tokens nor uses nor policies.
FIRST_CONTENT: dict[str, list[tuple[str | int | bytes | None, ...]]] = {
    "UPDATE store SET epoch = ?, revision = ?, clock = ?": [("0a1b2c3d", 2, NOW)],
    "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)": [
        (
            *("live", "k1", "deploy", "deploy", "acme", "web", "ann", "root", branch(1) + branch(2)),
            *(NOW * 1000, NOW + DAY, r'["[\"org\",\"acme\",\"*\"]", "[\"label\",\"é\"]"]', None, "", ""),
        ),
        (
            *("gone", "k1", "deploy", "deploy", "acme", "web", "", "live", b""),
            *(NOW * 1000 - 1, None, "[]", NOW, "operator", "leaked"),
        ),
    ],
    "INSERT INTO withdrawals VALUES (?, ?, ?, ?)": [
        ("gone", b"", 1, NOW + DAY),
        ("live", branch(9), 2, NOW + DAY),
    ],
    "INSERT INTO keys VALUES (?, ?, ?, ?)": [("k1", b"sealed", NOW, 1)],
    "INSERT INTO requests VALUES (?, ?, ?, ?)": [
        (hashlib.sha256(REQUEST.key).digest(), REQUEST.fingerprint, "live", NOW)
    ],
    "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)": [
        (1, NOW, "operator", "token.minted", "live", "deploy", 0)
    ],
}


def bring_to(path: Path, version: str) -> None:
    create_file(path)
    config = schema._config()
    engine = for_migration(path)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.fixture
def first(tmp_path: Path) -> Path:
    path = tmp_path / "first.db"
    bring_to(path, "0001")
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement, rows in FIRST_CONTENT.items():
            connection.executemany(statement, rows)
    return path


@pytest.fixture
async def upgraded(first: Path) -> AsyncIterator[Store]:
    migrate(first)
    opened = open_store(first)
    yield opened
    await opened.close()


def test_a_database_of_the_first_version_is_not_opened_but_told_to_migrate(first: Path) -> None:
    before = dump(first)
    for use in (check, open_store):
        with pytest.raises(StartError, match=r"0001.*almond migrate"):
            use(first)
    assert dump(first) == before


def test_migrating_tells_the_versions_before_and_after(first: Path) -> None:
    head = ScriptDirectory.from_config(schema._config()).get_current_head()
    assert head != "0001"
    assert migrate(first) == ("0001", head)
    assert migrate(first) == (head, head)
    check(first)


def test_an_upgraded_database_has_the_tables_that_queries_are_written_for(first: Path) -> None:
    migrate(first)
    engine = create_engine(location(first))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_an_upgraded_database_is_made_like_a_new_one(first: Path, database: Path) -> None:
    migrate(first)
    shapes = []
    for path in (first, database):
        with closing(sqlite3.connect(path)) as connection:
            shapes.append(
                connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
            )
    assert shapes[0] == shapes[1]


def test_an_upgrade_that_fails_changes_nothing(first: Path) -> None:
    with closing(sqlite3.connect(first)) as connection:
        connection.execute("CREATE TABLE policies (in_the_way)")  # the last thing that the upgrade makes
    before = dump(first)
    with pytest.raises(Exception, match="policies"):
        migrate(first)
    assert dump(first) == before


async def test_records_are_still_there_under_their_ids_and_without_lineage(upgraded: Store) -> None:
    assert await upgraded.tokens.page(EVERYTHING, None, 9) == [LIVE, GONE]
    for expected in (LIVE, GONE):
        found = await upgraded.tokens.get(expected.token_id)
        assert found == expected
        assert (found.id, found.lineage, found.branch_id, found.parent, found.last_used_at) == (
            expected.token_id,
            (),
            None,
            "",
            None,
        )


async def test_revocations_are_still_there_under_their_revisions(upgraded: Store) -> None:
    reading = await upgraded.revocations.reading(0)
    assert reading == Reading("0a1b2c3d", 2, reading.mark, NOW)
    one, two = await upgraded.revocations.changes_after(0, 9)
    assert (one.number, one.revocations) == (1, (whole("gone"),))
    assert (two.number, two.revocations) == (2, (part("live", 9),))
    assert (one.mark, two.mark) == (two.before, reading.mark)
    done = await upgraded.revocations.revoke([whole("gone")], OPERATOR, "again", None, NOW)
    assert (done.entries, done.number) == (0, 2)


async def test_keys_audit_and_answers_are_still_there(upgraded: Store) -> None:
    assert [(key.key_id, key.sealed) for key in await upgraded.keys.all()] == [("k1", b"sealed")]
    assert await upgraded.audit.newest(9) == [MINTED]
    assert await upgraded.tokens.add(record(), OPERATOR, REQUEST, NOW) == LIVE


async def test_a_branch_can_be_registered_under_a_token_of_before(upgraded: Store) -> None:
    added = record(token_id="live", lineage=(branch(1), branch(2)))
    standing = await upgraded.tokens.add_derived(added, OPERATOR, NOW)
    assert standing == replace(added, parent="live")
    assert await upgraded.tokens.get(standing.id) == standing


@pytest.mark.parametrize("lineage", [("gone", (branch(1),)), ("live", (branch(8), branch(9)))])
async def test_what_was_revoked_before_is_not_registered(
    upgraded: Store, lineage: tuple[str, tuple[bytes, ...]]
) -> None:
    of, branches = lineage
    with pytest.raises(MinterRevokedError):
        await upgraded.tokens.add_derived(record(token_id=of, lineage=branches), OPERATOR, NOW)


# What servers of version 0004 write and read, which may still run when the store is upgraded.
COLUMNS_OF_0004 = (
    *("id", "key_id", "name", "kind", "org", "app", "subject", "minter_id", "minter_branches"),
    *("created_at_ms", "expires_at", "caveats", "revoked_at", "revoked_by", "revoke_reason"),
    *("token_id", "lineage", "parent", "last_used_at"),
)


async def test_a_server_of_the_version_before_records_and_reads_tokens_beside_this_one(
    first: Path, upgraded: Store
) -> None:
    theirs, values = table("tokens", *map(column, COLUMNS_OF_0004)), values_of(record(token_id="theirs"))
    engine = create_engine(location(first))
    with engine.begin() as connection:
        connection.execute(theirs.insert().values({each: values[each] for each in COLUMNS_OF_0004}))
    assert await upgraded.tokens.get("theirs") == record(token_id="theirs")
    done = await upgraded.rotations.add(record(token_id="new"), "theirs", 0, OPERATOR, None, NOW)
    with engine.begin() as connection:
        found = connection.execute(select(theirs).where(theirs.c.id == "theirs")).one()
    engine.dispose()
    assert (found.revoked_at, found.revoke_reason) == (NOW, done.rotated.revoke_reason)


async def test_a_token_of_before_is_selected_used_and_revoked_like_any_other(upgraded: Store) -> None:
    await upgraded.tokens.record_last_used([Use("live", (branch(3),), NOW)])
    used = replace(LIVE, last_used_at=NOW)
    selection = Selection(OfSubject("ann"))
    assert await upgraded.tokens.select(selection, NOW) == [used]
    branch_of_it = record(token_id="live", lineage=(branch(3),))
    derived = await upgraded.tokens.add_derived(branch_of_it, OPERATOR, NOW)
    done = await upgraded.revocations.revoke_selection(selection, None, OPERATOR, "leaked", None, NOW)
    assert (done.entries, done.number) == (1, 3)
    found = [await upgraded.tokens.get(each) for each in ("live", derived.id)]
    assert [each.revoked_at for each in found if each] == [NOW, NOW]
