"""TLS to Redis, which Debian's redis-server supports: always verified, or there is no connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.redis.feed import RedisFeed
from almond_server.domain.feed import FeedUnavailableError, Tail
from almond_server.errors import StartError
from support.certificates import Authority
from support.feeds import EPOCH, KEY, change, mark
from support.redis_sentinels import watched
from support.redis_servers import RedisServer, Tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[RedisServer]:
    """A server whose certificate is for 127.0.0.1, and not for localhost."""
    made = RedisServer(tmp_path_factory.mktemp("tls"), shown(authority), requirepass=PASSWORD)
    try:
        yield made.start()
    finally:
        made.kill()


def shown(authority: Authority) -> Tls:
    return Tls(authority.file, *authority.vouch("127.0.0.1"))


def url(server: RedisServer, host: str, options: str) -> str:
    return f"rediss://:{PASSWORD}@{host}:{server.port}?{options}"


async def refused(address: str) -> str:
    """Fail to append, within the time limit; return the reason, which holds no password."""
    feed, began = RedisFeed(address, KEY, EPOCH), time.monotonic()
    with pytest.raises(FeedUnavailableError) as error:
        await feed.append(change(1))
    await feed.close()
    assert time.monotonic() - began < 2.5
    assert PASSWORD not in repr(error.value)
    return str(error.value)


async def test_a_server_that_the_named_authority_vouches_for_is_spoken_to(
    server: RedisServer, authority: Authority
) -> None:
    feed = RedisFeed(url(server, "127.0.0.1", f"ssl_ca_certs={authority.file}"), KEY, EPOCH)
    assert await feed.append(change(1))
    assert await feed.tail() == Tail(1, mark(1))
    await feed.close()


async def test_an_authority_that_nobody_named_is_refused(server: RedisServer, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    for options in ("", f"ssl_ca_certs={other.file}"):
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(url(server, "127.0.0.1", options))


async def test_a_certificate_for_another_host_is_refused(server: RedisServer, authority: Authority) -> None:
    why = await refused(url(server, "localhost", f"ssl_ca_certs={authority.file}"))
    assert "certificate is not valid for 'localhost'" in why


async def test_tls_with_who_speaks_none_and_none_with_who_speaks_it_fail(
    server: RedisServer, authority: Authority, tmp_path: Path
) -> None:
    plain = RedisServer(tmp_path).start()
    try:
        await refused(url(plain, "127.0.0.1", f"ssl_ca_certs={authority.file}"))
    finally:
        plain.kill()
    await refused(f"redis://:{PASSWORD}@{server.address}")


async def test_a_server_that_asks_for_a_certificate_gets_one(authority: Authority, tmp_path: Path) -> None:
    strict = RedisServer(tmp_path, shown(authority), tls_auth_clients="yes").start()
    mine, key = authority.vouch("almond")
    known = f"rediss://{strict.address}?ssl_ca_certs={authority.file}"
    try:
        feed = RedisFeed(f"{known}&ssl_certfile={mine}&ssl_keyfile={key}", KEY, EPOCH)
        assert await feed.append(change(1))
        await feed.close()
        await refused(known)
    finally:
        strict.kill()


@pytest.mark.parametrize("form", ["rediss://h", "rediss+sentinel://h:1/m", "rediss+cluster://h:1"])
@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile"])
def test_a_file_that_is_missing_or_empty_refuses_to_start(form: str, name: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (tmp_path / "missing.pem", empty):
        with pytest.raises(StartError, match="cannot be read"):
            RedisFeed(f"{form}?{name}={path}", KEY, EPOCH)


async def test_sentinels_and_their_master_are_both_spoken_to_with_tls(
    authority: Authority, tmp_path: Path
) -> None:
    with watched(tmp_path, shown(authority)) as secured:
        hosts = secured.url.partition("//")[2]
        feed = RedisFeed(f"rediss+sentinel://{hosts}?ssl_ca_certs={authority.file}", KEY, EPOCH)
        assert await feed.append(change(1))
        await feed.close()
        assert "no sentinel reports the master" in await refused(f"rediss+sentinel://{hosts}")
