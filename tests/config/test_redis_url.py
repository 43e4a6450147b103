"""ALMOND_REDIS_URL: each form is parsed; what is incomplete, unknown or turns off a check is refused."""

from __future__ import annotations

from typing import Any

import pytest

from almond_server.config.redis_url import Form, parse
from almond_server.errors import StartError

TLS = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
USER = {"username": "al", "password": "s3@cret/"}

GOOD: list[tuple[str, Form, list[tuple[str, int]], str, dict[str, Any]]] = [
    ("redis://h", Form.SERVER, [("h", 6379)], "", {}),
    ("redis://h:1/7", Form.SERVER, [("h", 1)], "", {"db": 7}),
    ("redis://:s3%40cret%2F@h/", Form.SERVER, [("h", 6379)], "", {"password": "s3@cret/"}),
    ("redis://[::1]:65535?db=3", Form.SERVER, [("::1", 65535)], "", {"db": 3}),
    ("rediss://h?ssl_check_hostname=True&ssl_cert_reqs=required", Form.SERVER, [("h", 6379)], "", TLS),
    ("rediss://h?ssl_ca_certs=/a%20b", Form.SERVER, [("h", 6379)], "", TLS | {"ssl_ca_certs": "/a b"}),
    ("unix:///run/a%20b.sock?db=2", Form.SOCKET, [], "/run/a b.sock", {"db": 2}),
    ("unix://al:s3%40cret%2F@/run/v.sock", Form.SOCKET, [], "/run/v.sock", USER),
    ("redis+sentinel://a:1,[::1]:2,c.d:3/m-1.x_y", Form.SENTINEL, [("a", 1), ("::1", 2), ("c.d", 3)],
     "m-1.x_y", {}),
    ("rediss+sentinel://al:s3%40cret%2F@a:1/m?db=4", Form.SENTINEL, [("a", 1)], "m", TLS | USER | {"db": 4}),
    ("redis+cluster://a:1,b:2", Form.CLUSTER, [("a", 1), ("b", 2)], "", {}),
    ("rediss+cluster://al:s3%40cret%2F@a:1/", Form.CLUSTER, [("a", 1)], "", TLS | USER),
]  # fmt: skip

BAD = [
    "",
    "localhost:6379",
    "http://hunter2@h",
    "redis+pubsub://h:1",
    "redis://",
    "redis:///0",
    "redis://h:0",
    "redis://h:65536",
    "redis://h:port",
    "redis://h:1,i:2",
    "redis://[::1",
    "redis://::1:6379",
    "redis://h/hunter2",
    "redis://h/-1",
    "redis://h/0/1",
    "redis://h#hunter2",
    "redis://:hunter2#x@h",
    "redis://:hunter2/x@h:1",
    "redis://:hunter2?x@h:1",
    "redis://:hun ter2@h:1",
    "redis://:hunter2\n@h:1",
    "redis://hunter2@h",
    "redis://h?username=al",
    "redis://h?db=",
    "redis://h?db=1&db=2",
    "redis://h?db=x",
    "redis://h?db",
    "redis://h?hunter2",
    "redis://h?socket_timeout=60",
    "redis://h?socket_connect_timeout=60",
    "redis://h?retry_on_timeout=yes",
    "redis://h?protocol=3",
    "redis://h?health_check_interval=1",
    "redis://h?ssl_ca_certs=/ca.pem",
    "redis://h?sentinel_password=hunter2",
    "rediss://h?ssl_ca_certs=",
    "rediss://h?ssl_cert_reqs=none",
    "rediss://h?ssl_cert_reqs=optional",
    "rediss://h?ssl_cert_reqs=None",
    "rediss://h?ssl_check_hostname=false",
    "rediss://h?ssl_check_hostname=0",
    "rediss://h?ssl_check_hostname=False",
    "rediss://h?ssl_ciphers=ALL:aNULL",
    "rediss://h?ssl_min_version=769",
    "rediss://h?ssl_exclude_verify_flags=VERIFY_X509_STRICT",
    "unix://",
    "unix:///",
    "unix://h/run/v.sock",
    "unix:///run/v.sock?ssl_cert_reqs=none",
    "redis+sentinel://h:1",
    "redis+sentinel://h:1/",
    "redis+sentinel://h/m",
    "redis+sentinel://h:1,/m",
    "redis+sentinel://h:1,i/m",
    "redis+sentinel://al:12/3@h:1/m",
    "redis+sentinel://h:1/m?sentinel_username=s",
    "rediss+sentinel://h:1/m?ssl_cert_reqs=none",
    "redis+cluster://",
    "redis+cluster://h",
    "redis+cluster://h:1/0",
    "redis+cluster://h:1?db=0",
    "redis+cluster://h:1?sentinel_password=hunter2",
    "rediss+cluster://h:1?ssl_check_hostname=no",
]


@pytest.mark.parametrize(("url", "form", "nodes", "name", "options"), GOOD)
def test_a_url_is_parsed(
    url: str, form: Form, nodes: list[tuple[str, int]], name: str, options: dict[str, Any]
) -> None:
    address = parse(url)
    assert (address.form, list(address.nodes), address.name) == (form, nodes, name)
    assert address.options == options
    assert address.is_encrypted == url.startswith("rediss")
    assert "cret" not in repr(address)


@pytest.mark.parametrize("url", BAD)
def test_a_url_that_is_wrong_or_incomplete_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StartError, match="ALMOND_REDIS_URL") as refused:
        parse(url)
    said = repr(refused.value) + repr(refused.value.__cause__)
    if not refused.value.__suppress_context__:
        said += repr(refused.value.__context__)
    assert "hunter2" not in said


def test_sentinels_have_a_user_of_their_own_and_the_same_certificate_authority() -> None:
    url = "rediss+sentinel://al:data@h:1/m?sentinel_username=se&sentinel_password=hunter2&ssl_ca_certs=/ca"
    address = parse(url)
    assert address.options == {"username": "al", "password": "data", "ssl_ca_certs": "/ca"} | TLS
    assert address.sentinel_options == {"username": "se", "password": "hunter2", "ssl_ca_certs": "/ca"} | TLS
    assert parse("redis+sentinel://al:data@h:1/m").sentinel_options == {}
    assert "hunter2" not in repr(address)


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("redis://localhost", False),
        ("redis://127.0.0.1", False),
        ("redis://[::1]", False),
        ("unix:///run/v.sock", False),
        ("redis+cluster://127.0.0.1:1,127.0.0.2:1", False),
        ("redis://10.0.0.1", True),
        ("redis://redis.internal", True),
        ("redis+sentinel://127.0.0.1:1,10.0.0.1:1/m", True),
        ("rediss://10.0.0.1", False),
    ],
)
def test_passwords_are_exposed_where_a_network_is_crossed_without_tls(url: str, exposed: bool) -> None:
    assert parse(url).is_exposed == exposed
