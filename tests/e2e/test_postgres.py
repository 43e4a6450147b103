"""Two servers with directories of their own on one PostgreSQL, as two machines would run them."""

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
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    return here, there


def test_what_one_revokes_the_other_denies(machines: tuple[Path, Path], postgres: PostgresServer) -> None:
    here, there = machines
    url = {"ALMOND_DATABASE_URL": postgres.new_database()}
    for words in ("init", "init"):
        assert run(words, "--data-dir", str(here), environment=url).code == 0
    assert "nothing to do" in run("migrate", "--data-dir", str(here), environment=url).out
    shutil.copy(here / "master.key", there / "master.key")
    with (
        ValkeyChild(here) as valkey,
        ServeProcess(here, valkey.url, **url) as one,
        ServeProcess(there, valkey.url, **url) as two,
    ):
        admin = (here / "admin.token").read_text().strip()
        minted = one.almond("tokens", "create", "deploy", "--org", "acme", "--app", "web", token=admin)
        assert minted.code == 0, minted.err
        ask = ("tokens", "verify", "-t", "-", "--org", "acme", "--app", "web", "--action", "w")
        assert two.almond(*ask, stdin=minted.out, token=admin).code == 0
        revoked = one.almond("tokens", "revoke", "--token", "-", stdin=minted.out, token=admin)
        assert revoked.code == 0, revoked.err
        two.eventually_denies(*ask, stdin=minted.out, token=admin)
    for name in ("here", "there"):
        assert not (machines[0].parent / name / "almond.db").exists()


def test_a_machine_without_the_master_key_is_told(
    machines: tuple[Path, Path], postgres: PostgresServer
) -> None:
    here, there = machines
    url = {"ALMOND_DATABASE_URL": postgres.new_database()}
    assert run("init", "--data-dir", str(here), environment=url).code == 0
    refused = run("init", "--data-dir", str(there), environment=url)
    assert refused.code == 2
    assert "copy master.key" in refused.err
    assert not list(there.iterdir())


@pytest.mark.parametrize("word", ["init", "migrate"])
def test_a_database_that_is_not_there_is_named_without_its_password(
    word: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.url("nowhere", password="hunter2")
    ran = run(word, "--data-dir", str(tmp_path), environment={"ALMOND_DATABASE_URL": url})
    assert ran.code == 2
    assert f"127.0.0.1:{postgres.port}/nowhere" in ran.err
    assert "hunter2" not in ran.out + ran.err
