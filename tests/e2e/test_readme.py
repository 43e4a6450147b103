"""The commands of the README, run in order, print what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from e2e.service import DevService, clean_environment
from support import forks

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
        (create, _), (listing, _), (rotate, _), (take_back, said) = _console(2)
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


def test_every_make_target_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)`?", README)) <= targets
