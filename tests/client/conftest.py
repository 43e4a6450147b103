from collections.abc import Iterator
from pathlib import Path

import pytest

from client.fake_service import FakeService, serving


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the developer's, and no `.almond` directory, gets into a test."""
    for name in ("ADDRESS", "API_TOKEN", "APP", "ORG"):
        monkeypatch.delenv(f"ALMOND_{name}", raising=False)
    # Typer makes help and errors colourful for these, terminal or not.
    for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
