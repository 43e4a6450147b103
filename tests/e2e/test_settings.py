"""The settings of `almond` as a process: what is refused, and in which words."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from almond_server.data_dir import paths
from e2e.service import run
from support.postgres import PostgresServer


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


def test_dev_on_a_taken_port_says_what_to_give_to_make(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("dev", "--data-dir", str(tmp_path / "data"), "--address", f"127.0.0.1:{port}")
    assert (ran.code, ran.out) == (2, "")
    free = port + 1 if port < 65_535 else port - 1
    assert ran.err.endswith(f"choose another --address, or say `ALMOND_ADDRESS=127.0.0.1:{free} make run`.\n")


@pytest.mark.parametrize("command", ["serve", "dev"])
@pytest.mark.parametrize(
    ("name", "value"), [("ALMOND_ADDRESS", "127.0.0.1:50051\r"), ("ALMOND_LOG_LEVEL", "info\r")]
)
def test_a_line_end_in_a_variable_is_shown(command: str, name: str, value: str, tmp_path: Path) -> None:
    environment = {"ALMOND_ADDRESS": "127.0.0.1:0", "ALMOND_REDIS_URL": "redis://127.0.0.1:1/0", name: value}
    ran = run(command, "--data-dir", str(tmp_path / "data"), environment=environment)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert repr(value) in ran.err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_without_a_store_logs_json_lines_alone(workers: str, tmp_path: Path) -> None:
    words = ("serve", "--data-dir", str(tmp_path), "--address", "127.0.0.1:0", "--workers", workers)
    ran = run(
        *words, "--metrics-address", "127.0.0.1:0", environment={"ALMOND_REDIS_URL": "redis://127.0.0.1:1"}
    )
    assert (ran.code, ran.out) == (2, "")
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert (lines[-1]["event"], lines[-1]["level"]) == ("server.refused", "error")
    assert "almond init" in lines[-1]["why"]


def test_init_completes_a_store_that_only_migrate_made(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    assert run("migrate", "--data-dir", str(data_dir)).code == 0
    ran = run("init", "--data-dir", str(data_dir))
    assert (ran.code, ran.err) == (0, "")
    paths.master_key(data_dir).unlink()
    ran = run("init", "--data-dir", str(data_dir))
    assert ran.code == 2
    assert "copy master.key from the machine" in ran.err


def test_init_completes_an_empty_database_that_only_migrate_made(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = {"ALMOND_DATABASE_URL": postgres.new_database()}
    words = ("--data-dir", str(tmp_path / "data"))
    assert run("migrate", *words, environment=url).code == 0
    assert run("init", *words, environment=url).code == 0
    assert run("init", "--data-dir", str(tmp_path / "other"), environment=url).code == 2


def test_migrate_without_a_data_directory_says_what_makes_one(tmp_path: Path) -> None:
    ran = run("migrate", "--data-dir", str(tmp_path / "missing"))
    assert ran.code == 2
    assert ran.err == (
        f"error: There is no data directory {tmp_path / 'missing'}: run `almond init`, which makes it, or "
        "correct --data-dir.\n"
    )


def test_dev_refuses_a_setting_that_it_does_not_read(tmp_path: Path) -> None:
    ran = run("dev", "--data-dir", str(tmp_path), environment={"ALMOND_WORKERS": "4"})
    assert ran.code == 2
    assert ran.err == "error: `almond dev` does not read ALMOND_WORKERS: unset it, or use `almond serve`.\n"


@pytest.mark.parametrize("words", [("store", "restored", "--without-redis", "--audit"), ("store", "heal")])
def test_a_missing_file_is_called_missing(tmp_path: Path, words: tuple[str, ...]) -> None:
    data_dir, missing = tmp_path / "data", tmp_path / "missing.jsonl"
    assert run("init", "--data-dir", str(data_dir)).code == 0
    ran = run(*words, str(missing), "--data-dir", str(data_dir))
    assert ran.code == 2
    assert f"{missing}: No such file or directory" in ran.err


@pytest.mark.parametrize("group", ["store", "audit"])
def test_the_help_of_a_group_has_an_example(group: str) -> None:
    assert f"Example: almond {group} " in run(group, "--help").out
