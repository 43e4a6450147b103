"""SQLite stores that were exchanged, lost, or given a wrong time: no revoked token becomes live again."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import redis

from almond_server.ops.valkey_child import ValkeyChild
from e2e import calls
from e2e.service import ServeProcess, run


def test_what_was_pruned_by_a_clock_far_ahead_is_healed(tmp_path: Path) -> None:
    with ValkeyChild(tmp_path) as valkey:
        environment = {"ALMOND_DATA_DIR": str(tmp_path), "ALMOND_REDIS_URL": valkey.url}
        assert run("init", environment=environment).code == 0
        with ServeProcess(tmp_path, valkey.url) as server:
            admin = (tmp_path / "admin.token").read_text().strip()
            token = calls.mint(server.address, admin)
            calls.revoke(server.address, admin, token)
        with closing(sqlite3.connect(tmp_path / "almond.db")) as store:  # as a wrong clock does
            store.execute("UPDATE store SET clock = clock + 400 * 86400")
            store.execute("DELETE FROM withdrawals")
            store.commit()
        redis.Redis.from_url(valkey.url).flushall()
        ran = run("store", "restored", "--without-redis", environment=environment)
        assert re.search(r"its own audit log\s+1", ran.out), ran
        with ServeProcess(tmp_path, valkey.url) as server:
            assert calls.is_denied(server.address, admin, token)


def test_what_a_server_knew_is_healed_after_its_store_was_exchanged(tmp_path: Path) -> None:
    with ValkeyChild(tmp_path) as valkey:
        environment = {"ALMOND_DATA_DIR": str(tmp_path), "ALMOND_REDIS_URL": valkey.url}
        assert run("init", environment=environment).code == 0
        admin = (tmp_path / "admin.token").read_text().strip()
        with ServeProcess(tmp_path, valkey.url) as server:
            token = calls.mint(server.address, admin)
            assert run("store", "backup", str(tmp_path / "b"), environment=environment).code == 0
            calls.revoke(server.address, admin, token)
            (tmp_path / "b").replace(tmp_path / "almond.db")
            server.eventually(lambda: list(tmp_path.glob("unhealed-*.jsonl")))
        for name in ("almond.db-wal", "almond.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        redis.Redis.from_url(valkey.url).flushall()
        assert run("serve", environment=environment).code == 2
        assert run("store", "heal", environment=environment).code == 0
        with ServeProcess(tmp_path, valkey.url) as server:
            assert calls.is_denied(server.address, admin, token)


def test_a_backup_is_not_served_before_store_restored(tmp_path: Path) -> None:
    """Also if Redis, which has what is missing, does not answer."""
    environment = {"ALMOND_DATA_DIR": str(tmp_path), "ALMOND_REDIS_URL": "redis://127.0.0.1:1"}
    assert run("init", environment=environment).code == 0
    assert run("store", "backup", str(tmp_path / "b"), environment=environment).code == 0
    (tmp_path / "b").replace(tmp_path / "almond.db")
    refused = run("serve", environment=environment)
    assert (refused.code, "almond store restored" in refused.err) == (2, True), refused


def test_init_does_not_replace_a_lost_store_by_an_empty_one(tmp_path: Path) -> None:
    environment = {"ALMOND_DATA_DIR": str(tmp_path)}
    assert run("init", environment=environment).code == 0
    admin = (tmp_path / "admin.token").read_text()
    for path in tmp_path.glob("almond.db*"):
        path.unlink()
    refused = run("init", environment=environment)
    assert (refused.code, "ops/RESTORE.md" in refused.err) == (2, True), refused
    assert (tmp_path / "admin.token").read_text() == admin
    assert not (tmp_path / "almond.db").exists()


def test_a_rescue_file_that_cannot_be_written_is_logged(tmp_path: Path) -> None:
    environment = {"ALMOND_DATA_DIR": str(tmp_path)}
    assert run("init", environment=environment).code == 0
    for words in (
        ("migrate", "--data-dir", str(tmp_path / "no")),
        ("store", "backup", str(tmp_path / "no" / "b")),
    ):
        ran = run(*words, environment=environment)
        assert (ran.code, str(tmp_path / "no") in ran.err, "Traceback" in ran.err) == (2, True, False), ran
