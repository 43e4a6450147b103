"""The deploy orchestrator of the README works as it stands there, through a restart and a kill."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from almond_server.ops.valkey_child import ValkeyChild
from e2e.service import ServeProcess, clean_environment, run
from support.ports import free_port

README = (Path(__file__).parents[2] / "README.md").read_text()

# A job: it says which token it got, and ends when the test says so.
_JOB = ["/bin/sh", "-c", 'printf %s "$DEPLOY_TOKEN" > got.tmp; mv got.tmp got; cat > nothing; exit 7']


def _script() -> str:
    section = README.partition("## A deploy orchestrator\n")[2]
    (found,) = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    assert found.count("\n") <= 40
    return str(found)


class Orchestrator:
    """The program of the README in a directory of its own, with a token that may only mint."""

    def __init__(self, directory: Path, server: ServeProcess) -> None:
        self._directory = directory
        self._address = server.address
        self._admin = (server.data_dir / "admin.token").read_text().strip()
        (directory / "deploy.py").write_text(_script())
        order = ("tokens", "create", "service", "--name", "ci", "--mint", "-o", "acme", "-a", "web")
        self.token = server.almond(*order, token=self._admin).out.strip()
        (directory / "ci.token").write_text(self.token)

    @contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Run the program until the end of the block, which must end it."""
        words = [sys.executable, "deploy.py", *command]
        environment = clean_environment() | {"ALMOND_ADDRESS": self._address}
        with subprocess.Popen(
            words, cwd=self._directory, env=environment, stdin=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def job_token(self) -> str:
        """Wait until a job has its token; returns that."""
        got = self._directory / "got"
        _until(got.exists)
        token = got.read_text()
        got.unlink()
        return token

    @property
    def current(self) -> Path:
        return self._directory / "current-deploy"

    def outcome(self, token: str) -> int:
        """Return 0 if a job's token is allowed what a deploy does, and 1 if it is denied."""
        words = ("tokens", "verify", "-t", "-", "-o", "acme", "-a", "web", "--action", "w")
        return self.almond(*words, stdin=token, token=self._admin)[0]

    def almond(self, *words: str, stdin: str = "", token: str | None = None) -> tuple[int, str]:
        """Run a command, with the orchestrator's token unless another is given."""
        environment = {"ALMOND_ADDRESS": self._address, "ALMOND_API_TOKEN": token or self.token}
        ran = run(*words, stdin=stdin, environment=environment)
        return ran.code, ran.out


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    assert run("init", "--data-dir", str(made)).code == 0
    return made


def test_a_job_has_its_token_for_as_long_as_it_runs_and_through_a_restart_of_the_server(
    tmp_path: Path, data_dir: Path, valkey: ValkeyChild
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with ServeProcess(data_dir, valkey.url, "--address", address) as server:
        ours = Orchestrator(tmp_path, server)
        foreign = Orchestrator(_directory(tmp_path / "other"), server)
    with ours.running(*_JOB) as process:
        # The program waits for a server that is not there yet.
        with ServeProcess(data_dir, valkey.url, "--address", address):
            token = ours.job_token()
            token_id = ours.current.read_text()
            assert ours.outcome(token) == 0
            listed = json.loads(ours.almond("tokens", "list", "--mine", "--json")[1])
            assert [each["id"] for each in listed] == [token_id]
            assert foreign.almond("tokens", "revoke", token_id)[0] != 0
            assert json.loads(foreign.almond("tokens", "list", "--mine", "--json")[1]) == []
        assert process.stdin is not None
        process.stdin.close()
        _until((tmp_path / "nothing").exists)
        assert process.poll() is None
        with ServeProcess(data_dir, valkey.url, "--address", address):
            assert process.wait(30) == 7
            assert ours.outcome(token) == 1
            assert json.loads(ours.almond("tokens", "list", "--mine", "--json")[1]) == []
    assert not ours.current.exists()


def test_a_program_that_was_killed_ends_the_token_of_its_job_when_it_runs_again(
    tmp_path: Path, data_dir: Path, valkey: ValkeyChild
) -> None:
    with ServeProcess(data_dir, valkey.url) as server:
        ours = Orchestrator(tmp_path, server)
        with ours.running(*_JOB):
            token = ours.job_token()
        assert ours.outcome(token) == 0
        with ours.running("true") as process:
            assert process.wait(30) == 0
        assert ours.outcome(token) == 1
        first_ids = json.loads(ours.almond("tokens", "list", "--mine", "--all", "--json")[1])
        assert [each["state"] for each in first_ids] == ["revoked", "revoked"]


def _directory(path: Path) -> Path:
    path.mkdir()
    return path
