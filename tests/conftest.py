"""Hypothesis without deadlines, as the machines that run this are shared; and one PostgreSQL a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from almond_server.adapters.sql.schema import migrate
from postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("almond", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("almond")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests of this process: they share it, and leave it running."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def _shared_url(postgres: PostgresServer) -> str:
    url = postgres.new_database()
    migrate(url)
    postgres.remember(url)
    return url


@pytest.fixture
def postgres_url(postgres: PostgresServer, _shared_url: str) -> str:
    """A database with the newest schema and nothing in it: one test after the other has it."""
    postgres.restore(_shared_url)
    return _shared_url
