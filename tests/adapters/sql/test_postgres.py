"""The PostgreSQL store beyond the ports: faults of the server, sessions, and no secret in any message."""

from __future__ import annotations

import asyncio
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import update

from almond_server.adapters.sql import locks, postgres_url
from almond_server.adapters.sql import postgres as adapter
from almond_server.adapters.sql.schema import check, is_new, migrate
from almond_server.adapters.sql.store import Store, open_store
from almond_server.adapters.sql.tables import METADATA, STORE
from almond_server.domain.records import Use
from almond_server.domain.revocations import KEPT_SECONDS, Revocation
from almond_server.errors import OldSchemaError, StartError, StoreUnavailableError, for_operators
from support.postgres import PASSWORD, PostgresServer
from support.samples import NOW, OPERATOR, record, whole
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy import Connection

PATIENCE_SECONDS = 8.0
ENOUGH = 20


@pytest.fixture
async def own_store(own_server: PostgresServer) -> AsyncIterator[Store]:
    url = own_server.new_database()
    await asyncio.to_thread(migrate, url)
    store = open_store(url)
    yield store
    own_server.resume()
    await store.close()


async def revoke(store: Store, name: str) -> int:
    return (await store.revocations.revoke([whole(name)], OPERATOR, "", None, NOW)).number


async def names(store: Store) -> set[str]:
    changes = await store.revocations.changes_after(0, 100_000)
    assert [change.number for change in changes] == list(range(1, len(changes) + 1))
    return {each.token_id for change in changes for each in change.revocations}


async def answers_again(store: Store, seconds: float = 10.0) -> None:
    async def look() -> bool:
        try:
            await store.revocations.reading(NOW)
        except StoreUnavailableError:
            return False
        return True

    await eventually(look, bool, seconds)


async def test_what_was_acknowledged_survives_kill_9_under_load(
    own_server: PostgresServer, own_store: Store
) -> None:
    acknowledged: set[str] = set()

    async def load(worker: int) -> None:
        for number in range(100_000):
            try:
                await revoke(own_store, f"{worker}-{number}")
            except StoreUnavailableError:
                return
            acknowledged.add(f"{worker}-{number}")

    for _ in range(3):
        loading = [asyncio.create_task(load(worker)) for worker in range(8)]
        await eventually(news_of(acknowledged), lambda count: count > ENOUGH)
        await asyncio.to_thread(own_server.kill)
        await asyncio.gather(*loading)
        await asyncio.to_thread(own_server.start)
        await answers_again(own_store)
        assert acknowledged <= await names(own_store)
        load_more = await revoke(own_store, f"after-{len(acknowledged)}")
        assert load_more == (await own_store.revocations.reading(NOW)).number


def news_of(names: set[str]) -> Callable[[], Awaitable[int]]:
    before = len(names)

    async def count() -> int:
        return len(names) - before

    return count


async def test_a_paused_server_is_given_up_in_time_and_taken_up_again(
    own_server: PostgresServer, own_store: Store
) -> None:
    await revoke(own_store, "before")
    own_server.pause()
    started = time.monotonic()
    asked = [
        own_store.revocations.reading(NOW),
        revoke(own_store, "during"),
        own_store.tokens.get("any"),
        own_store.tokens.add(record(), OPERATOR, None, NOW),
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert time.monotonic() - started < PATIENCE_SECONDS
    assert [type(each) for each in answers] == [StoreUnavailableError] * len(asked)
    own_server.resume()
    await answers_again(own_store)
    await revoke(own_store, "after")
    assert {"before", "after"} <= await names(own_store)


async def test_a_server_that_is_down_is_said_at_once(own_server: PostgresServer, own_store: Store) -> None:
    await asyncio.to_thread(own_server.stop)
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        await own_store.revocations.reading(NOW)
    assert time.monotonic() - started < 1


async def test_a_held_lock_is_waited_for_but_not_for_ever(
    postgres: PostgresServer, postgres_url: str
) -> None:
    store = open_store(postgres_url)
    blocker = open_store(postgres_url)
    minted = await store.tokens.add(record(), OPERATOR, None, NOW)
    holding, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(connection: Connection) -> None:
        locks.exclude(connection, locks.REVOCATIONS)
        loop.call_soon_threadsafe(holding.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

    held = asyncio.create_task(blocker.database.write("test", hold))
    await holding.wait()
    async with asyncio.timeout(1):  # recording last-used times waits for no other transaction
        await store.tokens.record_last_used([Use(minted.id, (), NOW)])
    used = await store.tokens.get(minted.id)
    assert used is not None
    assert used.last_used_at == NOW
    with pytest.raises(StoreUnavailableError):
        await revoke(store, "a")
    assert (await store.revocations.reading(NOW)).number == 0  # a reading waits for no write
    release.set()
    await asyncio.gather(held, return_exceptions=True)
    assert await revoke(store, "a") == 1
    await store.close()
    await blocker.close()


async def test_no_more_sessions_than_the_pool_has(postgres: PostgresServer, postgres_url: str) -> None:
    store = open_store(postgres_url)
    await asyncio.gather(
        *(store.tokens.add(record(), OPERATOR, None, NOW) for _ in range(40)),
        *(store.revocations.reading(NOW) for _ in range(40)),
        *(store.tokens.get("t1") for _ in range(40)),
    )
    count = sql.SQL("SELECT count(*) FROM pg_stat_activity WHERE datname = {}").format(
        sql.Literal(postgres_url.rpartition("/")[2])
    )
    assert postgres.execute(count) == [(6,)]
    await store.close()

    async def sessions() -> list[tuple[Any, ...]]:
        return postgres.execute(count)

    await eventually(sessions, lambda found: found == [(0,)])  # the server ends them in its own time


async def test_sessions_are_durable_and_bounded_whatever_the_server_defaults_to(
    postgres: PostgresServer,
) -> None:
    url = postgres.new_database()
    migrate(url)
    name = sql.Identifier(url.rpartition("/")[2])
    postgres.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
    store = open_store(url)
    shown = await store.database.write(
        "test",
        lambda connection: [
            connection.exec_driver_sql(f"SHOW {setting}").scalar()
            for setting in ("synchronous_commit", "statement_timeout", "lock_timeout")
        ],
    )
    assert shown == ["on", "5s", "2s"]
    await store.close()


async def test_a_standby_is_no_store_until_it_is_promoted(own_server: PostgresServer) -> None:
    url = own_server.new_database()
    migrate(url)
    with own_server.standby() as standby:
        its_url = url.replace(f":{own_server.port}/", f":{standby.port}/")
        with pytest.raises(StartError):
            check(its_url)
        both = (f"127.0.0.1:{each.port}" for each in (standby, own_server))
        name = url.rpartition("/")[2]
        store = open_store(
            f"postgresql://postgres:{PASSWORD}@/{name}?" + "&".join(f"host={at}" for at in both)
        )
        await revoke(store, "a")
        assert (await store.revocations.reading(NOW)).number == 1
        await store.close()
        standby.execute(sql.SQL("SELECT {}()").format(sql.Identifier("pg_promote")))
        check(its_url)


@pytest.mark.parametrize("setting", ["synchronous_commit = off", "lock_timeout = 0"])
def test_a_session_that_does_not_keep_its_settings_is_refused(postgres_url: str, setting: str) -> None:
    engine = adapter.for_one_read(postgres_url)
    with engine.connect() as connection:
        adapter.require_session_settings(connection, postgres_url)
        connection.exec_driver_sql(f"SET {setting}")  # as a pooler that drops settings leaves it
        with pytest.raises(StartError, match="PgBouncer"):
            adapter.require_session_settings(connection, postgres_url)
    engine.dispose()


async def test_the_stores_time_is_the_databases_whatever_it_is_told(postgres_url: str) -> None:
    store = open_store(postgres_url)
    for told in (0, NOW * 2):
        assert abs((await store.revocations.reading(told)).store_time - time.time()) < 5
    ahead = int(time.time()) + 500
    await store.database.write(
        "test", lambda connection: connection.execute(update(STORE).values(clock=ahead))
    )
    assert (await store.revocations.reading(0)).store_time == ahead  # kept, and never goes back
    await store.close()


async def test_what_ended_is_forgotten(postgres_url: str) -> None:
    store, now = open_store(postgres_url), int(time.time())
    for name, ends_at in [("over", now - KEPT_SECONDS - 5), ("not yet", now - KEPT_SECONDS + 60)]:
        await store.revocations.revoke([Revocation(name, None, ends_at)], OPERATOR, "", None, now)
    assert [await store.revocations.prune(9) for _ in range(2)] == [1, 0]
    assert [each.token_id for each in await store.revocations.page(2, None, 9)] == ["not yet"]
    await store.close()


def test_the_password_is_in_no_error(postgres: PostgresServer, own_server: PostgresServer) -> None:
    own_server.stop()
    hopeless = [
        own_server.url("almond"),
        postgres.url("not-there"),
        postgres.url("postgres", user="nobody"),
        postgres.url("postgres", password="wrong"),
        f"postgresql://u:{PASSWORD}@[::1/almond",
        f"postgresql://u:{PASSWORD}@127.0.0.1:notaport/almond",
        f"mysql://u:{PASSWORD}@127.0.0.1/almond",
        f"postgresql://u:{PASSWORD}@127.0.0.1:{postgres.port}/almond?{PASSWORD}=1",
    ]
    for url in hopeless:
        with pytest.raises(StartError) as refused:
            check(url)
        said = "".join(traceback.format_exception(refused.value)) + repr(refused.value)
        assert PASSWORD not in said, url
        assert "wrong" not in said, url


async def test_the_password_is_in_no_error_of_a_running_store(
    own_server: PostgresServer, own_store: Store
) -> None:
    await asyncio.to_thread(own_server.kill)
    with pytest.raises(StoreUnavailableError) as refused:
        await own_store.revocations.reading(NOW)
    said = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + repr(own_store)
    said += for_operators(refused.value)
    assert PASSWORD not in said


def test_a_database_is_named_without_who_connects(postgres: PostgresServer) -> None:
    assert postgres_url.name(postgres.url("almond")) == f"127.0.0.1:{postgres.port}/almond"


def test_an_empty_database_is_new_until_it_is_migrated(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    assert is_new(url)
    with pytest.raises(OldSchemaError):
        check(url)
    migrate(url)
    assert not is_new(url)
    check(url)


def test_the_migrations_give_what_the_tables_say(postgres_url: str) -> None:
    engine = adapter.for_one_read(postgres_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, METADATA) == []
    engine.dispose()
