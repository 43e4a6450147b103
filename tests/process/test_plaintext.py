"""Warnings of plaintext: one log line at the start for each connection over a network without TLS."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from almond_server.app import warn_of_plaintext
from almond_server.config.settings import Settings


@pytest.mark.parametrize(
    ("changed", "events"),
    [
        ({}, []),
        ({"address": "0.0.0.0:1"}, ["server.plaintext"]),
        ({"database_url": "postgresql://u:hunter2@db.internal/almond"}, ["store.plaintext"]),
        ({"database_url": "postgresql://u@db.internal/almond?sslmode=verify-full&sslrootcert=ca.pem"}, []),
        ({"redis_url": "redis://:hunter2@redis.internal"}, ["feed.plaintext"]),
        ({"redis_url": "redis+sentinel://:hunter2@127.0.0.1:1,redis.internal:2/almond"}, ["feed.plaintext"]),
        ({"redis_url": "rediss://:hunter2@redis.internal"}, []),
    ],
)
def test_what_others_could_read_is_warned_of(changed: dict[str, str], events: list[str]) -> None:
    settings = Settings(**{"data_dir": Path("data"), "redis_url": "redis://localhost"} | changed)  # type: ignore[arg-type]
    with capture_logs() as logged:
        warn_of_plaintext(settings)
    assert [each["event"] for each in logged] == events
    assert "hunter2" not in repr(logged)
