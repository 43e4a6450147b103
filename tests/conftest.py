"""Fixtures for every test: stores, Redis servers and a clock.

Hypothesis has no deadline, as the machines that run the tests are shared.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from almond_server.adapters.sql.schema import migrate
from almond_server.adapters.sql.store import Store, open_store
from almond_server.ops.valkey_child import ValkeyChild
from support.clock import SetClock
from support.postgres import PostgresServer
from support.redis_clusters import Cluster, clustered
from support.redis_sentinels import Watched, watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from almond_server.adapters.sql.database import Location

settings.register_profile("almond", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("almond")


@pytest.fixture(scope="session", autouse=True)
def no_project_file_of_the_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """End the command line's search for `almond.toml` where the tests' own directories begin."""
    (tmp_path_factory.getbasetemp() / ".git").mkdir(exist_ok=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that all tests of this process share; they leave it running."""
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
    """The URL of an empty database with the newest schema; the tests use it in turn."""
    postgres.restore(_shared_url)
    return _shared_url


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "almond.db"
    migrate(path)
    return path


@pytest.fixture
def database(tmp_path: Path, _migrated: Path) -> Path:
    return Path(shutil.copy(_migrated, tmp_path))


@pytest.fixture
async def store(database: Path) -> AsyncIterator[Store]:
    opened = open_store(database)
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest) -> Location:
    """The location of a new database, of each kind in turn."""
    found: Location = request.getfixturevalue(
        {"sqlite": "database", "postgres": "postgres_url"}[request.param]
    )
    return found


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for one test, to kill and to pause."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyChild]:
    with ValkeyChild(tmp_path) as child:
        yield child


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A master, its replica and sentinels that all tests of a module share; they leave them working."""
    with watched(tmp_path_factory.mktemp("sentinel")) as running:
        yield running


@pytest.fixture
def sentinel_url(sentinels: Watched) -> str:
    """The URL of an empty master behind sentinels."""
    sentinels.master.do("FLUSHALL")
    return sentinels.url


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that all tests of a module share; they leave it working."""
    with clustered(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def cluster_url(cluster: Cluster) -> str:
    """The URL of an empty cluster."""
    for node in cluster.nodes:
        node.do("FLUSHALL")
    return cluster.url


@pytest.fixture
def clock() -> SetClock:
    """A clock that stands still."""
    return SetClock()
