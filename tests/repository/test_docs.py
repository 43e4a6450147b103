"""The documents do not rot: the settings table, the links, the length of decision records."""

from __future__ import annotations

import re
import subprocess
from dataclasses import MISSING, fields
from pathlib import Path

from almond_server.config.settings import POSTGRES_STALENESS, SQLITE_STALENESS, Settings

ROOT = Path(__file__).parents[2]


# Where the command line knows more than the field.
_DEFAULTS = {
    "data_dir": "`.almond`",
    "database_url": "SQLite",
    "traces": "off",
    "max_staleness": f"`{SQLITE_STALENESS}`; on PostgreSQL `{POSTGRES_STALENESS}`",
}


def settings_table() -> str:
    """Return the table of settings as docs/SETTINGS.md has it."""
    rows = ["| variable | flag | default | what |", "| --- | --- | --- | --- |"]
    for each in fields(Settings):
        flag = "none" if "variable only" in each.metadata["help"] else f"`--{each.name.replace('_', '-')}`"
        default = "required" if each.default is MISSING else f"`{each.default}`"
        default = _DEFAULTS.get(each.name, default)
        rows.append(f"| `ALMOND_{each.name.upper()}` | {flag} | {default} | {each.metadata['help']} |")
    return "\n".join(rows) + "\n"


def _documents() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines()]


def test_the_settings_table_is_that_of_the_settings() -> None:
    assert settings_table() in (ROOT / "docs/SETTINGS.md").read_text()


def test_every_relative_link_leads_somewhere() -> None:
    assert len(_documents()) >= 10
    for document in _documents():
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            assert "://" in link or (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_architecture_is_a_map_of_a_few_screens() -> None:
    assert len((ROOT / "server/ARCHITECTURE.md").read_text().splitlines()) <= 120


def test_the_glossary_is_short_enough_to_read() -> None:
    terms = re.findall(r"^\* \*\*(.+?)\*\*: ", (ROOT / "docs/GLOSSARY.md").read_text(), re.MULTILINE)
    assert 20 <= len(terms) == len(set(terms)) <= 25


def test_decision_records_fit_on_a_page() -> None:
    records = sorted((ROOT / "server/adr").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        lines = record.read_text().splitlines()
        assert len(lines) <= 40, record.name
        assert max(map(len, lines)) <= 110, record.name
