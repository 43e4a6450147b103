"""Two servers on one PostgreSQL, each with a data directory of its own, as on two machines."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from almond_server.ops.valkey_child import ValkeyChild
from e2e.service import ServeProcess, run

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import PostgresServer


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    return first, second


def test_what_one_server_revokes_the_other_denies(
    machines: tuple[Path, Path], postgres: PostgresServer
) -> None:
    first, second = machines
    url = {"ALMOND_DATABASE_URL": postgres.new_database()}
    for words in ("init", "init"):
        assert run(words, "--data-dir", str(first), environment=url).code == 0
    assert "nothing to do" in run("migrate", "--data-dir", str(first), environment=url).out
    shutil.copy(first / "master.key", second / "master.key")
    with (
        ValkeyChild(first) as valkey,
        ServeProcess(first, valkey.url, **url) as one,
        ServeProcess(second, valkey.url, **url) as two,
    ):
        admin = (first / "admin.token").read_text().strip()
        minted = one.almond("tokens", "create", "deploy", "--org", "acme", "--app", "web", token=admin)
        assert minted.code == 0, minted.err
        ask = ("tokens", "verify", "-t", "-", "--org", "acme", "--app", "web", "--action", "w")
        assert two.almond(*ask, stdin=minted.out, token=admin).code == 0
        revoked = one.almond("tokens", "revoke", "--token", "-", stdin=minted.out, token=admin)
        assert revoked.code == 0, revoked.err
        two.eventually_denies(*ask, stdin=minted.out, token=admin)
    for name in ("first", "second"):
        assert not (machines[0].parent / name / "almond.db").exists()


def test_init_without_the_master_key_says_to_copy_it(
    machines: tuple[Path, Path], postgres: PostgresServer
) -> None:
    first, second = machines
    url = {"ALMOND_DATABASE_URL": postgres.new_database()}
    assert run("init", "--data-dir", str(first), environment=url).code == 0
    refused = run("init", "--data-dir", str(second), environment=url)
    assert refused.code == 2
    assert "copy master.key" in refused.err
    assert not list(second.iterdir())


@pytest.mark.parametrize("word", ["init", "migrate"])
def test_a_missing_database_is_named_without_its_password(
    word: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.url("nowhere", password="hunter2")
    ran = run(word, "--data-dir", str(tmp_path), environment={"ALMOND_DATABASE_URL": url})
    assert ran.code == 2
    assert f"127.0.0.1:{postgres.port}/nowhere" in ran.err
    assert "hunter2" not in ran.out + ran.err
