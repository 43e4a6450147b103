"""The commands of the README, run in order, print what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest as Reflect

from e2e.service import DevService, clean_environment
from support import forks
from support.postgres import PASSWORD, PostgresServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def _console(number: int) -> list[tuple[str, str]]:
    """Return the commands of one console block, each with the output that the README gives."""
    blocks: list[str] = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    steps = blocks[number].split("$ ")[1:]
    return [(step.partition("\n")[0], step.partition("\n")[2].strip()) for step in steps]


def _run(command: str, directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ["/bin/sh", "-c", command]
    return subprocess.run(words, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def test_the_first_decision_is_as_in_the_readme(tmp_path: Path) -> None:
    steps = _console(0)
    assert len(steps) >= 7
    with DevService(tmp_path / ".almond", is_program=True) as service:
        (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
        environment = clean_environment() | {"ALMOND_ADDRESS": service.address}
        for command, expected in steps:
            ran = _run(command, tmp_path, environment)
            assert ran.returncode in {0, 1}, (command, ran.stderr)
            assert ran.stdout.startswith(expected), (command, ran.stdout, ran.stderr)


def test_a_token_of_twelve_caveats_is_shown_as_in_the_readme(tmp_path: Path) -> None:
    with DevService(tmp_path / ".almond") as service:
        forks.put_into(tmp_path)
        environment = clean_environment() | {
            "ALMOND_ADDRESS": service.address,
            "PATH": f"{tmp_path}:/usr/bin:/bin",
        }
        steps = _console(1)
        ran = [_run(each, tmp_path, environment) for each, _ in steps]
    assert [each.returncode for each in ran] == [0] * len(steps), [each.stderr for each in ran]
    expected = steps[-1][1]
    assert expected.count("\n") > 25
    assert _without_particulars(ran[-1].stdout) == _without_particulars(expected)


def test_a_token_is_replaced_and_taken_back_as_in_the_readme(tmp_path: Path) -> None:
    with DevService(tmp_path / ".almond") as service:
        forks.put_into(tmp_path)
        environment = clean_environment() | {
            "ALMOND_ADDRESS": service.address,
            "PATH": f"{tmp_path}:/usr/bin:/bin",
        }
        (create, _), (listing, _), (rotate, _), (take_back, said) = _console(3)
        assert _run(create, tmp_path, environment).returncode == 0
        token_id = _run(listing, tmp_path, environment).stdout.splitlines()[1].split()[0]
        rotated = _run(rotate.replace("ID", token_id), tmp_path, environment)
        assert rotated.returncode == 0, rotated.stderr
        assert (tmp_path / "new.token").read_text().startswith("alm1_")
        assert "live, rotated" in _run(listing, tmp_path, environment).stdout
        undone = _run(take_back.replace("ID", token_id), tmp_path, environment)
    successor = rotated.stderr.split("id ")[1].split(",")[0]
    assert undone.stdout.strip() == said.replace("SUCCESSOR", successor).replace("ID", token_id)


def _without_particulars(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?: UTC|Z)", "TIME", text.strip())
    return re.sub(r"(?m)^(  (?:id|branch|key) +)[\w-]+", r"\1ID", text)


def test_the_output_of_make_run_names_three_commands_that_work(tmp_path: Path) -> None:
    with DevService(tmp_path / "data", is_program=True) as service:
        commands = [line.strip() for line in service.screen.splitlines() if " tokens " in line]
        assert len(commands) == 3
        (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
        outputs = [_run(command, tmp_path, clean_environment()) for command in commands]
        assert [ran.returncode for ran in outputs] == [0, 0, 0], [ran.stderr for ran in outputs]
        assert outputs[1].stdout.startswith("ALLOWED")


def _section(heading: str) -> str:
    return README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _block(text: str, language: str, number: int = 0) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return blocks[number]


def test_the_project_file_of_the_readme_names_the_org_and_the_app(tmp_path: Path) -> None:
    section = _section("The current org and app")
    with DevService(tmp_path / ".almond") as service:
        forks.put_into(tmp_path)
        (tmp_path / "src").mkdir()
        (tmp_path / "almond.toml").write_text(_block(section, "toml"))
        admin = str(tmp_path / ".almond/admin.token")
        environment = clean_environment() | {
            "ALMOND_ADDRESS": service.address,
            "ALMOND_API_TOKEN": Path(admin).read_text(),
            "PATH": f"{tmp_path}:/usr/bin:/bin",
        }
        for step in _block(section, "console").split("$ ")[1:]:
            command, _, expected = step.partition("\n")
            ran = _run(command, tmp_path / "src", environment)
            assert (ran.returncode, ran.stdout) == (0, expected.lstrip()), ran.stderr
            assert f"from {tmp_path}/almond.toml: org acme, app web" in ran.stderr


def test_reflection_needs_the_header_of_the_readme_and_health_needs_none(tmp_path: Path) -> None:
    health, others = _block(_section("From your service"), "sh").splitlines()
    assert "-H" not in health
    header = re.findall(r'-H ("authorization: .*?")', others)[0]
    with DevService(tmp_path / ".almond") as service:
        printed = _run(f"printf %s {header}", tmp_path, clean_environment()).stdout
        name, _, value = printed.partition(": ")
        with grpc.insecure_channel(service.address) as channel:
            # As grpcurl does it: the schema first, then the call that it describes.
            method = health.split()[-1]
            of_health = Reflect(file_containing_symbol=method.partition("/")[0])
            assert "grpc.health.v1" in _reflected(channel, of_health)
            check: Any = channel.unary_unary(f"/{method}")
            assert check(b"") == health_pb2.HealthCheckResponse(status="SERVING").SerializeToString()
            with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                _reflected(channel, Reflect(list_services=""))
            assert "almond.v1.TokenService" in _reflected(channel, Reflect(list_services=""), (name, value))


def _reflected(channel: grpc.Channel, request: Reflect, *metadata: tuple[str, str]) -> str:
    ask: Any = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Reflect.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    return "".join(map(str, ask(iter([request]), metadata=metadata)))


def test_the_lines_for_postgresql_make_a_store(tmp_path: Path, own_server: PostgresServer) -> None:
    lines = _block(_section("Two servers"), "sh", 1)
    assert lines.count(":5432/") == 1
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1 $2" = "-u postgres" ] && shift 2 && exec "$@"\n')
    sudo.chmod(0o755)
    forks.put_into(tmp_path)
    environment = clean_environment() | {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(own_server.port),
        "PGUSER": "postgres",
        "PGPASSWORD": PASSWORD,
        "ALMOND_DATA_DIR": str(tmp_path / "data"),
        "PATH": f"{tmp_path}:/usr/bin:/bin",
    }
    commands = f"set -e\n{lines.replace(':5432/', f':{own_server.port}/')}almond init\nalmond migrate\n"
    ran = _run(commands, tmp_path, environment)
    assert ran.returncode == 0, ran.stderr
    assert "nothing to do" in ran.stdout
    assert not list((tmp_path / "data").glob("*.db"))


def test_every_make_target_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)`?", README)) <= targets
