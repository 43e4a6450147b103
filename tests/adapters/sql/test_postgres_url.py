"""The URL of a PostgreSQL store: several hosts as libpq reads them, names without secrets, and a failover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import conninfo, sql

from almond_server.adapters.sql import postgres_url
from almond_server.adapters.sql.schema import check, migrate
from almond_server.adapters.sql.store import Store, open_store
from almond_server.errors import StartError, StoreUnavailableError
from support.postgres import PASSWORD, PostgresServer
from support.samples import NOW, OPERATOR, whole
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTS = st.sampled_from(["a", "db.example.com", "127.0.0.1", "[::1]", "[fd00::2]", ""])
PORTS = st.sampled_from(["", ":5433", ":65535"])


def arguments(url: str) -> dict[str, Any]:
    """Return what SQLAlchemy hands to the driver for a URL."""
    parsed = postgres_url.parse(url)
    return dict(parsed.get_dialect()().create_connect_args(parsed)[1])


@given(
    hosts=st.lists(st.tuples(HOSTS, PORTS).map("".join), min_size=2, max_size=4),
    user=st.sampled_from(["", "u@", "u:p@", "u:p%40ss@"]),
    rest=st.sampled_from(["", "/", "/db", "/db?sslmode=require", "/db?host=elsewhere&port=7"]),
)
def test_several_hosts_are_those_that_libpq_reads(hosts: list[str], user: str, rest: str) -> None:
    url = f"postgresql://{user}{','.join(hosts)}{rest}"
    libpq = {key: value for key, value in conninfo.conninfo_to_dict(url).items() if value}
    ours = {key: value for key, value in arguments(url).items() if value}
    assert ours == libpq


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"postgresql://u:{PASSWORD}@a:1,b:2/db", "a:1,b:2/db"),
        (f"postgresql://u:{PASSWORD}@a,b:2/db", "a:5432,b:2/db"),
        (f"postgresql://u:{PASSWORD}@[::1]:1,[fd00::2]/db", "[::1]:1,[fd00::2]:5432/db"),
        (f"postgresql://u:{PASSWORD}@/db?host=a,b&port=7", "a:7,b:7/db"),
        (f"postgresql://u:{PASSWORD}@/db?host=a,b&port=7,8", "a:7,b:8/db"),
        (f"postgresql://u:{PASSWORD}@/db?host=a:1&host=b:2", "a:1,b:2/db"),
        (f"postgresql://u:{PASSWORD}@/db?host=/run/postgresql", "/run/postgresql:5432/db"),
        ("postgresql:///db", "localhost:5432/db"),
    ],
)
def test_a_name_has_every_host_and_no_secret(url: str, name: str) -> None:
    assert postgres_url.name(url) == name


@pytest.mark.parametrize("hosts", ["a:1,b:x", "a:1,[::1", "a:1,::1", "a:1:2,b", "a,b,c/db?port=1,2#"])
def test_what_is_no_list_of_hosts_is_refused_without_showing_it(hosts: str) -> None:
    with pytest.raises(StartError) as refused:
        postgres_url.parse(f"postgresql://u:{PASSWORD}@{hosts}/db")
    assert PASSWORD not in str(refused.value)


def session_attrs(url: str) -> str:
    return postgres_url.session_attrs(postgres_url.parse(url))


def test_of_several_hosts_the_one_that_takes_writes_is_chosen() -> None:
    assert session_attrs("postgresql://u@a/db") == "primary"
    assert session_attrs("postgresql://u@a,b/db") == "read-write"
    for chosen in ("primary", "read-write"):
        for hosts in ("a", "a,b"):
            assert session_attrs(f"postgresql://u@{hosts}/db?target_session_attrs={chosen}") == chosen
    for other in ("any", "standby", "prefer-standby", "read-only", ""):
        with pytest.raises(StartError, match="read-write or primary"):
            session_attrs(f"postgresql://u@a,b/db?target_session_attrs={other or 'x'}")


@pytest.fixture
def standby(own_server: PostgresServer) -> Iterator[PostgresServer]:
    with own_server.standby() as running:
        yield running


async def is_answered(store: Store) -> bool:
    try:
        await store.revocations.revoke([whole("after")], OPERATOR, "", None, NOW)
    except StoreUnavailableError:
        return False
    return True


async def test_after_a_failover_the_promoted_host_is_used(
    own_server: PostgresServer, standby: PostgresServer
) -> None:
    url = own_server.new_database()
    migrate(url)
    name = url.rpartition("/")[2]
    hosts = f"127.0.0.1:{own_server.port},127.0.0.1:{standby.port}"
    both = f"postgresql://postgres:{PASSWORD}@{hosts}/{name}"
    check(both)
    store = open_store(both)
    await store.revocations.revoke([whole("before")], OPERATOR, "", None, NOW)
    own_server.stop()
    with pytest.raises(StoreUnavailableError) as refused:
        await store.revocations.reading(NOW)
    assert PASSWORD not in f"{refused.value} {refused.value.words}"
    standby.execute(sql.SQL("SELECT {}()").format(sql.Identifier("pg_promote")))
    await eventually(lambda: is_answered(store), bool, 10.0)
    changes = await store.revocations.changes_after(0, 9)
    assert [each.token_id for change in changes for each in change.revocations] == ["before", "after"]
    await store.close()


async def test_a_former_primary_that_was_made_read_only_is_passed_over(
    own_server: PostgresServer, standby: PostgresServer
) -> None:
    url = own_server.new_database()
    migrate(url)
    name = url.rpartition("/")[2]
    standby_url = standby.url(name)
    standby.execute(sql.SQL("SELECT {}()").format(sql.Identifier("pg_promote")))
    former = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(sql.Identifier(name))
    own_server.execute(former)
    both = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{own_server.port},127.0.0.1:{standby.port}/{name}"
    await eventually(lambda: _takes_writes(standby_url), bool, 10.0)
    store = open_store(both)
    assert await is_answered(store)
    await store.close()


async def _takes_writes(url: str) -> bool:
    try:
        check(f"{url}?target_session_attrs=read-write")
    except StartError:
        return False
    return True


def test_both_hosts_are_named_with_the_cause_of_each(own_server: PostgresServer) -> None:
    url = f"postgresql://postgres:{PASSWORD}x@127.0.0.1:1,127.0.0.1:{own_server.port}/db"
    with pytest.raises(StartError) as refused:
        check(url)
    said = str(refused.value)
    assert f"The store at 127.0.0.1:1,127.0.0.1:{own_server.port}/db cannot be used" in said
    assert "nothing accepts connections" in said
    assert "check user and password" in said
    assert '"127.0.0.1", port 1: Connection refused' in said
    assert PASSWORD not in said


def test_the_options_of_the_url_are_kept_beside_the_servers_own(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    with_schema = f"{url}?options=-c%20search_path%3Dtenant"
    postgres.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier("tenant")), url.rpartition("/")[2])
    migrate(with_schema)
    check(with_schema)
    with pytest.raises(StartError, match="older schema"):
        check(url)
