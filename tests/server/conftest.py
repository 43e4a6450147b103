from __future__ import annotations

import pytest

from support import SetClock


@pytest.fixture
def clock() -> SetClock:
    """A clock that stands still."""
    return SetClock()
