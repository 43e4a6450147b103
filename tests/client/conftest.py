"""Fixtures of the client's tests: a fake service, and an environment without the developer's variables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.fake_service import FakeService, serving


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's variables and `.almond` directory out of the tests."""
    for name in ("ADDRESS", "API_TOKEN", "APP", "ORG"):
        monkeypatch.delenv(f"ALMOND_{name}", raising=False)
    # With these Typer colours help and errors even without a terminal.
    for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
