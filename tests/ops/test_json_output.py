"""Commands that print something have `--json`, and the operator's print JSON that a script can read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from almond_client.cli.program import build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NO_JSON = {
    # They run until they are stopped.
    *("serve", "dev"),
    # It writes JSON lines.
    "audit export",
    # It prints one word, and its exit code says the same.
    "health",
}


def _commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    for name, each in children.items():
        yield from _commands(each, f"{path} {name}".strip())
    if not children:
        yield path, command


def test_every_command_that_prints_has_json() -> None:
    without = {
        name
        for name, command in _commands(typer.main.get_command(build()))
        if not any("--json" in each.opts for each in command.params)
    }
    assert without <= _NO_JSON


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ALMOND_DATABASE_URL", "ALMOND_REDIS_URL", "ALMOND_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "a[b]c"


def shown(data_dir: Path, *words: str) -> Any:
    ran = CliRunner().invoke(build(), [*words, "--data-dir", str(data_dir), "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def test_the_operators_commands_print_json(data_dir: Path) -> None:
    made = {"data_dir": str(data_dir), "written_admin_token": str(data_dir / "admin.token")}
    assert shown(data_dir, "init") == made
    assert shown(data_dir, "init") == made | {"written_admin_token": None}
    migrated = shown(data_dir, "migrate")
    assert migrated["schema_before"] == migrated["schema"]
    copy = data_dir.parent / "copy.db"
    assert shown(data_dir, "store", "backup", str(copy)) == {"file": str(copy)}
    restored = shown(data_dir, "store", "restored", "--without-redis")
    assert restored["put_back"] == {"its own audit log": 0}
    assert len(restored["epoch"]) == 8


def test_the_sentences_of_the_operators_commands_stay_whole(data_dir: Path) -> None:
    long = data_dir / ("x" * 100)
    ran = CliRunner().invoke(build(), ["init", "--data-dir", str(long)])
    assert f"The admin token is in {long / 'admin.token'} (mode 0600" in ran.stdout
