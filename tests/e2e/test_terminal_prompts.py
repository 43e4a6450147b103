"""At a terminal `revoke` shows what it would revoke and asks, and `list` fits its width."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

import pytest

from e2e.service import ALMOND, DevService, clean_environment


def _at_a_terminal(
    service: DevService, answer: str, token: str, *words: str, columns: int = 200
) -> tuple[int, str]:
    """Run a command at a terminal and answer its question; returns the exit code and the screen."""
    environment = clean_environment() | {
        "ALMOND_ADDRESS": service.address,
        "ALMOND_API_TOKEN": token,
        "COLUMNS": str(columns),
    }
    child, terminal = pty.fork()
    if child == 0:
        os.execve(ALMOND, [ALMOND, *words], environment)  # noqa: S606 - no shell is wanted
    screen = b""
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # what Linux returns once the other side has closed
            break
        screen += read
        if screen.endswith(b"[y/N]: "):
            os.write(terminal, f"{answer}\n".encode())
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen.decode()


@pytest.mark.parametrize(
    ("answer", "code", "state"), [("n", 2, "live"), ("", 2, "live"), ("y", 0, "revoked")]
)
def test_revoke_shows_what_it_would_revoke_and_asks(
    tmp_path: Path, answer: str, code: int, state: str
) -> None:
    with DevService(tmp_path / "data") as service:
        own = service.almond("tokens", "create", "org", "-o", "acme").out.strip()
        service.almond("tokens", "create", "deploy", "-o", "acme", "-a", "web", "-n", "for web")
        ended, screen = _at_a_terminal(service, answer, own, "tokens", "revoke", "--org", "acme")
        assert ended == code, screen
        assert "2 tokens to revoke" in screen
        assert "for web" in screen
        assert "YOUR OWN token is among them" in screen
        listed = service.almond("tokens", "list", "-o", "acme", "--all").out.splitlines()[1:]
        assert [line.split()[-1] for line in listed] == [state, state]


def test_with_yes_revoke_does_not_ask(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        admin = (service.data_dir / "admin.token").read_text().strip()
        service.almond("tokens", "create", "org", "-o", "acme")
        ended, screen = _at_a_terminal(service, "n", admin, "tokens", "revoke", "--org", "acme", "--yes")
        assert (ended, "org acme revoked" in screen, "[y/N]" in screen) == (0, True, False), screen


def test_a_token_is_a_line_at_80_columns_and_a_paragraph_at_50(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        own = service.almond("tokens", "create", "org", "-o", "acme", "-n", "a, state revoked").out.strip()
        words = ("tokens", "list", "-o", "acme")
        ended, screen = _at_a_terminal(service, "", own, *words, columns=50)
        assert ended == 0, screen
        first, second, *_ = screen.splitlines()
        assert re.fullmatch(r"\S*[A-Za-z0-9_-]{22}  live\S*", first), screen
        assert second.startswith("    name a, state revoked, kind org, "), screen
        assert all(len(line) <= 50 for line in screen.splitlines()[1:]), screen
        _, wider = _at_a_terminal(service, "", own, *words, columns=80)
        header, row = wider.splitlines()
        assert "CREATED" in header
        assert re.fullmatch(r"[A-Za-z0-9_-]{22}  a, state revoked  org .* in 89d.*", row), wider
