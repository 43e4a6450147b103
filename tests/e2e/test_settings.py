"""The settings of `almond` as a process: what is refused, and in which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from e2e.service import run


@pytest.mark.parametrize("command", ["init", "migrate", "dev"])
def test_a_data_directory_that_cannot_be_made_is_one_line_with_the_user(command: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    flags = ["--address", "127.0.0.1:0"] if command == "dev" else []
    ran = run(command, "--data-dir", str(file / "data"), *flags)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith("error: ")
    assert str(file) in ran.err


def test_a_data_directory_that_takes_no_admin_token_is_named(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    assert run("init", "--data-dir", str(data_dir)).code == 0
    token = data_dir / "admin.token"
    token.unlink()
    token.mkdir()
    ran = run("init", "--data-dir", str(data_dir), "--new-admin-token")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"error: {token}: ")
    assert f"user {os.geteuid()}" in ran.err


@pytest.mark.parametrize(
    "command", ["init", "migrate", "serve", "dev", "store backup file", "store heal", "audit export"]
)
def test_a_misspelled_setting_refuses_every_command_of_the_server(command: str, tmp_path: Path) -> None:
    words = [*command.split(), "--data-dir", str(tmp_path / "data")]
    ran = run(*words, environment={"ALMOND_POLL_INTERVALL": "3"})
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: ALMOND_POLL_INTERVALL is no setting of Almond: did you mean ALMOND_POLL_INTERVAL?\n"
    )
    assert not (tmp_path / "data").exists()
