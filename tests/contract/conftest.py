from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.sql.store import open_store
from fakes.revocations import MemoryRevocations
from fakes.rotations import MemoryRotations
from fakes.store import MemoryAudit, MemoryKeys, MemoryPolicies, MemoryStore, MemoryTokens
from support.samples import Ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


_FIXTURES = {"sqlite": "database", "postgres": "postgres_url"}


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def ports(request: pytest.FixtureRequest) -> AsyncIterator[Ports]:
    if request.param == "memory":
        memory = MemoryStore()
        yield Ports(
            MemoryTokens(memory),
            MemoryRevocations(memory),
            MemoryRotations(memory),
            MemoryKeys(memory),
            MemoryPolicies(memory),
            MemoryAudit(memory),
        )
        return
    opened = open_store(request.getfixturevalue(_FIXTURES[request.param]))
    yield Ports(
        opened.tokens, opened.revocations, opened.rotations, opened.keys, opened.policies, opened.audit
    )
    await opened.close()
