"""The settings: each one that is not valid is refused and named."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from almond_server.config.addresses import host_and_port, is_loopback
from almond_server.config.settings import Settings
from almond_server.errors import StartError

GOOD: dict[str, Any] = {"data_dir": Path("data"), "redis_url": "redis://localhost"}

BAD: list[tuple[str, Any, str]] = [
    ("address", "", "--address"),
    ("address", "localhost", "--address"),
    ("address", ":50051", "--address"),
    ("address", "localhost:", "--address"),
    ("address", "localhost:http", "--address"),
    ("address", "localhost:65536", "--address"),
    ("address", "localhost:-1", "--address"),
    ("workers", 0, "--workers"),
    ("workers", -1, "--workers"),
    ("workers", 65, "--workers"),
    ("max_staleness", 0.0, "^--max-staleness must be above 0"),
    ("max_staleness", -1.0, "^--max-staleness must be above 0"),
    ("max_staleness", 0.5, "--max-staleness"),
    ("max_staleness", 60.1, "--max-staleness"),
    ("max_staleness", math.inf, "--max-staleness"),
    ("max_staleness", math.nan, "--max-staleness"),
    ("poll_interval", 0.0, "--poll-interval"),
    ("poll_interval", -0.1, "--poll-interval"),
    ("poll_interval", 5.0, "--poll-interval"),
    ("poll_interval", math.nan, "--poll-interval"),
    ("leeway", -1, "--leeway"),
    ("leeway", 61, "--leeway"),
    ("grace", -0.1, "--grace"),
    ("grace", math.nan, "--grace"),
    ("grace", math.inf, "--grace"),
    ("presented_per_minute", 0, "--presented-per-minute"),
    ("presented_per_minute", -1, "--presented-per-minute"),
    ("metrics_address", "9464", "--metrics-address"),
    ("metrics_address", "localhost:65536", "--metrics-address"),
    ("traces", "localhost:4318", "--traces"),
    ("traces", "grpc://localhost:4317", "--traces"),
    ("traces", "http://", "--traces"),
    ("traces", "http://localhost:http", "--traces"),
    ("traces", "http://user:word@localhost:4318", "--traces"),
    ("traces", "http://localhost:4318?key=word", "--traces"),
    ("log_level", "loud", "--log-level"),
    ("log_level", "INFO", "--log-level"),
    ("redis_url", "", "ALMOND_REDIS_URL"),
    ("redis_url", "localhost:6379", "ALMOND_REDIS_URL"),
    ("redis_url", "http://localhost", "ALMOND_REDIS_URL"),
    ("redis_url", "rediss://localhost?ssl_cert_reqs=none", "ALMOND_REDIS_URL"),
    ("database_url", "almond.db", "ALMOND_DATABASE_URL"),
    ("database_url", "mysql://localhost/almond", "ALMOND_DATABASE_URL"),
]


@pytest.mark.parametrize(("name", "value", "named"), BAD)
def test_a_bad_setting_refuses_and_is_named(name: str, value: Any, named: str) -> None:
    with pytest.raises(StartError, match=named):
        Settings(**GOOD | {name: value})


def test_every_setting_but_the_directory_has_a_bad_value_in_the_table() -> None:
    assert {each.name for each in fields(Settings)} - {"data_dir"} == {name for name, _, _ in BAD}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("address", "127.0.0.1:50051\r"),
        ("address", " 127.0.0.1:50051"),
        ("address", "127.0.0.1 :50051"),
        ("address", "127.0.0.1:50051\n"),
        ("address", "local\u200bhost:50051"),
        ("metrics_address", "127.0.0.1:9464\r"),
        ("log_level", "info\r"),
        ("log_level", " info"),
        ("data_dir", Path("data\r")),
        ("data_dir", Path("data\n")),
    ],
)
def test_a_character_that_is_not_seen_is_shown(name: str, value: Any) -> None:
    with pytest.raises(StartError) as refused:
        Settings(**GOOD | {name: value})
    assert repr(str(value)) in str(refused.value)
    assert f"--{name.replace('_', '-')}" in str(refused.value)


@pytest.mark.parametrize("odd", ["{}\r", "{}\n", " {}", "{} "])
@pytest.mark.parametrize(
    ("name", "url", "named"),
    [
        ("database_url", "postgresql://almond:hunter2@host/almond", "ALMOND_DATABASE_URL"),
        ("redis_url", "redis://almond:hunter2@host:6379/0", "ALMOND_REDIS_URL"),
        ("traces", "http://almond:hunter2@host:4318", "--traces"),
    ],
)
def test_a_url_with_a_space_or_a_line_end_says_so_and_is_not_shown(
    name: str, url: str, named: str, odd: str
) -> None:
    with pytest.raises(StartError, match=f"{named}.*a space or a line end") as refused:
        Settings(**GOOD | {name: odd.format(url)})
    assert "hunter2" not in str(refused.value)


def test_a_directory_may_have_spaces_and_letters_of_any_language() -> None:
    assert Settings(**GOOD | {"data_dir": Path("My Daten/größe")}).data_dir == Path("My Daten/größe")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("address", "0.0.0.0:0"),
        ("address", "[::1]:65535"),
        ("workers", 64),
        ("metrics_address", ""),
        ("metrics_address", "[::]:0"),
        ("max_staleness", 60.0),
        ("poll_interval", 4.999),
        ("leeway", 0),
        ("leeway", 60),
        ("grace", 0.0),
        ("presented_per_minute", 1),
        ("traces", ""),
        ("traces", "http://[::1]:4318/"),
        ("traces", "https://collector.internal/tenant"),
        ("redis_url", "rediss://user:word@host:1/0"),
        ("redis_url", "unix:///run/valkey.sock"),
        ("redis_url", "rediss+sentinel://user:word@a:1,b:2/almond"),
        ("redis_url", "redis+cluster://a:1,b:2"),
    ],
)
def test_a_setting_at_its_limit_is_accepted(name: str, value: Any) -> None:
    assert getattr(Settings(**GOOD | {name: value}), name) == value


def test_a_refused_redis_url_is_not_repeated() -> None:
    with pytest.raises(StartError) as caught:
        Settings(**GOOD | {"redis_url": "http://:hunter2@host"})
    assert "hunter2" not in str(caught.value)


def test_settings_do_not_change() -> None:
    settings = Settings(**GOOD)
    with pytest.raises(FrozenInstanceError):
        settings.leeway = 60  # type: ignore[misc]


def test_every_setting_has_a_help_text() -> None:
    assert all(each.metadata["help"] for each in fields(Settings))


@pytest.mark.parametrize(
    ("address", "expected"),
    [("[::1]:1", ("::1", 1)), ("localhost:50051", ("localhost", 50051)), ("10.0.0.1:0", ("10.0.0.1", 0))],
)
def test_addresses_are_split(address: str, expected: tuple[str, int]) -> None:
    assert host_and_port(address) == expected


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("almond.internal:1", False),
        ("localhost.evil.example:1", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(address: str, local: bool) -> None:
    assert is_loopback(address) == local
