"""The documents do not rot: the settings table, links, named paths, and the length of pages."""

from __future__ import annotations

import re
import subprocess
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path

import pytest

from almond_server.config.settings import POSTGRES_STALENESS, SQLITE_STALENESS, Settings

ROOT = Path(__file__).parents[2]

# Where the command line knows more than the field.
_DEFAULTS = {
    "data_dir": "`.almond`",
    "database_url": "SQLite",
    "traces": "off",
    "max_staleness": f"`{SQLITE_STALENESS}`; on PostgreSQL `{POSTGRES_STALENESS}`",
}

_CODE = re.compile(r"```.*?```|`([^`]+)`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+/?|\w+\.(?:json|md|proto|py|toml|yml)")


def settings_table() -> str:
    """Return the table of settings as docs/SETTINGS.md has it."""
    rows = ["| variable | flag | default | what |", "| --- | --- | --- | --- |"]
    for each in fields(Settings):
        flag = "none" if "variable only" in each.metadata["help"] else f"`--{each.name.replace('_', '-')}`"
        default = "required" if each.default is MISSING else f"`{each.default}`"
        default = _DEFAULTS.get(each.name, default)
        rows.append(f"| `ALMOND_{each.name.upper()}` | {flag} | {default} | {each.metadata['help']} |")
    return "\n".join(rows) + "\n"


def _files(*patterns: str) -> list[str]:
    command = ["git", "ls-files", "-co", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def _documents() -> list[Path]:
    return [ROOT / line for line in _files("*.md")]


def _records() -> list[Path]:
    return sorted((ROOT / "server/adr").glob("*.md"))


def _anchors(document: Path) -> set[str]:
    """Return the names of a page's headings, as links spell them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _named_paths(text: str) -> list[str]:
    """Return the words between backticks that are paths: with a slash inside, or names of source files."""
    code = " ".join(match[1] or "" for match in _CODE.finditer(text))
    return [word.rstrip("/") for word in code.split() if _PATH.fullmatch(word)]


@cache
def _tree() -> set[str]:
    """Return the names of all files and folders, from any folder above them, modules also without `.py`."""
    names = {name for line in _files() for name in (line, line.removesuffix(".py"))}
    parts = [name.split("/") for name in names]
    return {"/".join(each[i:j]) for each in parts for j in range(1, len(each) + 1) for i in range(j)}


def test_the_settings_table_is_that_of_the_settings() -> None:
    assert settings_table() in (ROOT / "docs/SETTINGS.md").read_text()


def test_every_relative_link_leads_somewhere() -> None:
    assert len(_documents()) >= 10
    for document in _documents():
        for link in _LINK.findall(document.read_text()):
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            target = document.parent / path if path else document
            assert target.exists(), f"{document.name}: {link}"
            assert not anchor or anchor in _anchors(target), f"{document.name}: {link}"


@pytest.mark.parametrize(
    "document", [ROOT / "server/ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *_records()], ids=lambda d: d.name
)
def test_every_path_that_a_page_names_exists(document: Path) -> None:
    tree = _tree()
    assert [path for path in _named_paths(document.read_text()) if path not in tree] == []


def test_paths_are_distinguished_from_other_words() -> None:
    text = "`rpc/errors.py`, `a/b -> c/d` and `/health`, `decide()`, `x.y`, `i/j/`; plain e/f; ```\ng/h\n```"
    assert _named_paths(text) == ["rpc/errors.py", "a/b", "c/d", "i/j"]
    assert not {"rpc/errors.py", "rpc/errors", "almond_server/rpc"} - _tree()
    assert "rpc/no_such_file.py" not in _tree()
    assert len(_named_paths((ROOT / "server/ARCHITECTURE.md").read_text())) >= 20


def test_the_architecture_is_a_map_of_a_few_screens() -> None:
    assert len((ROOT / "server/ARCHITECTURE.md").read_text().splitlines()) <= 120


def test_the_glossary_is_short_enough_to_read() -> None:
    terms = re.findall(r"^\* \*\*(.+?)\*\*: ", (ROOT / "docs/GLOSSARY.md").read_text(), re.MULTILINE)
    assert 20 <= len(terms) == len(set(terms)) <= 25


def test_decision_records_fit_on_a_page() -> None:
    records = _records()
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        lines = record.read_text().splitlines()
        assert len(lines) <= 40, record.name
        assert max(map(len, lines)) <= 110, record.name
