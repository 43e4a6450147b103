"""Git ignores what the examples of the help and the documents write: most of it is secret."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from almond_client.cli.program import build

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

_INTO_A_FILE = re.compile(r"almond [^>`]*(?<![-=])>>? ?([\w.][\w./-]*)")


def _commands(command: Any) -> Iterator[Any]:
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from _commands(each)


def _helps() -> list[str]:
    root = typer.main.get_command(build())
    return [f"{each.help or ''}\n{each.epilog or ''}" for each in _commands(root)]


def _documents() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md", "Makefile", "*.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [(ROOT / line).read_text() for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def _written(texts: list[str]) -> set[str]:
    return {name for text in texts for name in _INTO_A_FILE.findall(text)}


def _ignored(names: set[str]) -> set[str]:
    checked = subprocess.run(
        ["git", "check-ignore", "--no-index", *sorted(names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(checked.stdout.splitlines())


def test_git_ignores_every_file_that_an_example_writes() -> None:
    helps, documents = _written(_helps()), _written(_documents())
    assert {"my-app.token.ssh", "web.token", "read.token", "audit.jsonl"} <= helps
    assert {
        "web.token",
        "read.token",
        "org.token",
        "ci.token",
        "job.token",
        "gate.token",
        "audit.jsonl",
    } <= documents
    written = helps | documents
    assert written - _ignored(written) == set()


def test_what_is_not_secret_is_not_ignored() -> None:
    assert (
        _ignored({"README.md", "caveats.json", "tokens.md", "server/almond_server/tokens/mint.py"}) == set()
    )
