"""The demo gets the right decision at every step, and fails if it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from e2e import demo
from e2e.service import DevService


def test_every_step_of_the_demo_is_right() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(demo.__file__))], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every decision was the right one." in done.stdout


def test_a_wrong_expectation_counts_as_wrong(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        token = service.almond("tokens", "create", "deploy", "--org", "acme", "--app", "web").out.strip()
        steps = demo.Demo(service)
        steps.verify("write another app", token, "api", "w", "ALLOWED")
        steps.verify("write its own app", token, "web", "w", "REVOKED")
        assert steps.wrong == 2
