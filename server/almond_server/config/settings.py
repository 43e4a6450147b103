"""The server's settings: one frozen value, validated when built. Security configured by half is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from almond_core.model import MAX_LEEWAY
from almond_server.config import redis_url
from almond_server.config.addresses import DEFAULT_ADDRESS, host_and_port
from almond_server.data_dir import paths
from almond_server.errors import StartError

DEFAULT_METRICS_ADDRESS: Final = "127.0.0.1:9464"
"""9464 is OpenTelemetry's default port for Prometheus exporters."""

SQLITE_STALENESS: Final = 5.0
POSTGRES_STALENESS: Final = 60.0
"""Seconds. A failover of PostgreSQL can take that long; revocation data older than this never allows."""

_MAX_WORKERS: Final = 64
_SPACE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of `almond serve`, from flags or `ALMOND_*` variables of the same names."""

    data_dir: Path = field(metadata={"help": "directory of the store, the master key and the admin token"})
    redis_url: str = field(
        repr=False,
        metadata={
            "help": "redis://, unix://, redis+sentinel:// or redis+cluster:// URL of Redis or Valkey; "
            "rediss instead of redis uses TLS; variable only, as it may hold a password"
        },
    )
    database_url: str = field(
        default="",
        repr=False,
        metadata={
            "help": "postgresql://USER@HOST/DATABASE instead of SQLite in the data directory; TLS with "
            "?sslmode=verify-full&sslrootcert=FILE; variable only, as it may hold a password"
        },
    )
    address: str = field(
        default=DEFAULT_ADDRESS, metadata={"help": "host:port to listen on; port 0 picks a free one"}
    )
    workers: int = field(
        default=1, metadata={"help": "number of processes that share the port, 1 to 64; one for each core"}
    )
    max_staleness: float = field(
        default=SQLITE_STALENESS,
        metadata={
            "help": "maximum age of revocation data in seconds; above it, Verify answers UNAVAILABLE "
            "instead of ALLOWED"
        },
    )
    poll_interval: float = field(default=0.5, metadata={"help": "seconds between two reads of the store"})
    leeway: int = field(
        default=5,
        metadata={"help": "how many seconds before its start time a token is accepted, as clocks differ"},
    )
    grace: float = field(default=10.0, metadata={"help": "seconds for open calls to finish after SIGTERM"})
    presented_per_minute: int = field(
        default=10,
        metadata={
            "help": "revocations a minute by presenting the token itself, for each token and each client "
            "address"
        },
    )
    metrics_address: str = field(
        default=DEFAULT_METRICS_ADDRESS,
        metadata={
            "help": "host:port of `/metrics`, `/health` and `/live` over HTTP; port 0 picks a free one, "
            "empty is off"
        },
    )
    traces: str = field(
        default="",
        metadata={
            "help": "http(s)://HOST:PORT of an OTLP/HTTP collector that gets a span for each call; "
            "empty is off"
        },
    )
    log_level: str = field(
        default="info", metadata={"help": "least severe level that is logged: debug, info, warning or error"}
    )

    def __post_init__(self) -> None:
        """Raise `StartError` for the first setting that is not valid."""
        host_and_port(self.address)
        store_location(self.data_dir, self.database_url)
        if self.metrics_address:
            host_and_port(self.metrics_address, "--metrics-address")
        if not 1 <= self.workers <= _MAX_WORKERS:
            raise StartError(f"--workers must be 1 to {_MAX_WORKERS}; one for each core is enough.")
        if not 0 < self.max_staleness <= 60:  # noqa: PLR2004
            raise StartError(
                "--max-staleness must be above 0 and at most 60 seconds: a revocation must not be ignored "
                "for longer."
            )
        if not 0 < self.poll_interval < self.max_staleness:
            raise StartError(
                f"--poll-interval must be above 0 and below --max-staleness, which is {self.max_staleness:g} "
                "seconds."
            )
        if not 0 <= self.leeway <= MAX_LEEWAY:
            raise StartError(f"--leeway must be 0 to {MAX_LEEWAY} seconds.")
        if not 0 <= self.grace < math.inf or self.presented_per_minute < 1:
            raise StartError(
                "--grace must be finite and not negative, --presented-per-minute must be at least 1."
            )
        if self.log_level not in {"debug", "info", "warning", "error"}:
            raise StartError(
                f"--log-level must be debug, info, warning or error, and not {self.log_level!r}."
            )
        _check_collector(self.traces)
        redis_url.parse(self.redis_url)

    @property
    def database(self) -> Path | str:
        """The store's location: the path of an SQLite file, or the URL of PostgreSQL."""
        return store_location(self.data_dir, self.database_url)

    @property
    def master_key(self) -> Path:
        """The path of the master key."""
        return paths.master_key(self.data_dir)

    @property
    def admin_token(self) -> Path:
        """The path at which `almond init` writes the admin token."""
        return paths.admin_token(self.data_dir)


def store_location(data_dir: Path, database_url: str) -> Path | str:
    """Return `database_url`, which must be one of PostgreSQL, or the SQLite file; raises `StartError`.

    Neither may have a line end from a file or a manifest. The error shows the directory, and never the URL.
    """
    if any(ord(each) < _SPACE for each in str(data_dir)):
        raise StartError(
            f"--data-dir must not contain a line end or another control character: {str(data_dir)!r}."
        )
    if database_url != database_url.strip():
        raise StartError("ALMOND_DATABASE_URL begins or ends with a space or a line end: remove that.")
    if not database_url:
        return paths.database(data_dir)
    if not database_url.startswith(("postgresql://", "postgres://")):
        raise StartError(
            "ALMOND_DATABASE_URL must be postgresql://USER@HOST:PORT/DATABASE; unset it to use SQLite."
        )
    return database_url


def _check_collector(url: str) -> None:
    if not url:
        return
    # `urlsplit` drops line ends; the collector's client would not.
    if any(each.isspace() for each in url):
        raise StartError("--traces contains a space or a line end: remove that.")
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        parts, is_valid = urlsplit(""), None
    if not is_valid or parts.username is not None or parts.query or parts.fragment:
        raise StartError(
            "--traces must be http://HOST:PORT or https://HOST:PORT of an OTLP/HTTP collector; put its "
            "credentials into OTEL_EXPORTER_OTLP_HEADERS."
        )
