"""Services for the tests of RPCs: one for each test, or one that a module shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from support.service import Almond, almond

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Almond]:
    """A service for one test."""
    async with almond(tmp_path / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Almond]:
    """A service that all tests of a module share; each uses orgs of its own."""
    async with almond(tmp_path_factory.mktemp("shared"), presented_per_minute=1000) as running:
        yield running
