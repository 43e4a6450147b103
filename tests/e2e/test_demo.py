"""The demo is the README's story; it must come out right, and must notice when it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from e2e import demo
from e2e.service import DevService


def test_the_demo_comes_out_right() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(demo.__file__))], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every decision was the right one." in done.stdout


def test_a_wrong_expectation_counts_as_wrong(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        token = service.almond("tokens", "create", "deploy", "--org", "acme", "--app", "web").out.strip()
        story = demo.Story(service)
        story.ask("write another app", token, "api", "w", "ALLOWED")
        story.ask("write its own app", token, "web", "w", "REVOKED")
        assert story.wrong == 2
