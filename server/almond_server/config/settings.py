"""Settings: one frozen value, validated when it is built. Half-configured security refuses to start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from almond_server.config import redis_url
from almond_server.config.addresses import DEFAULT_ADDRESS, host_and_port
from almond_server.data_dir import paths
from almond_server.errors import StartError

DEFAULT_METRICS_ADDRESS: Final = "127.0.0.1:9464"
"""The port that OpenTelemetry gives to what Prometheus scrapes."""

SQLITE_STALENESS: Final = 5.0
POSTGRES_STALENESS: Final = 60.0
"""Seconds: its failovers take that long, and no yes is older all the same."""

_MAX_WORKERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `almond serve` takes, from flags or `ALMOND_*` variables of the same names."""

    data_dir: Path = field(metadata={"help": "where the store, the master key and the admin token are"})
    redis_url: str = field(
        repr=False,
        metadata={
            "help": "redis://, unix://, redis+sentinel:// or redis+cluster:// of Redis or Valkey; rediss "
            "for redis is with TLS; variable only, it may be secret"
        },
    )
    database_url: str = field(
        default="",
        repr=False,
        metadata={
            "help": "postgresql://USER@HOST/DATABASE instead of SQLite in the data directory; TLS with "
            "?sslmode=verify-full&sslrootcert=FILE; variable only, it may be secret"
        },
    )
    address: str = field(
        default=DEFAULT_ADDRESS, metadata={"help": "host:port to listen on; port 0 picks one"}
    )
    workers: int = field(default=1, metadata={"help": "processes that share the port, 1 to 64; one a core"})
    max_staleness: float = field(
        default=SQLITE_STALENESS,
        metadata={"help": "seconds without a reading of the store after which nobody says yes"},
    )
    poll_interval: float = field(default=0.5, metadata={"help": "seconds between readings of the store"})
    leeway: int = field(
        default=5, metadata={"help": "seconds that a token's start may lie ahead of this machine's clock"}
    )
    grace: float = field(default=10.0, metadata={"help": "seconds that calls get to finish after SIGTERM"})
    presented_per_minute: int = field(
        default=10, metadata={"help": "revocations by possession a minute, for each token and each peer"}
    )
    metrics_address: str = field(
        default=DEFAULT_METRICS_ADDRESS,
        metadata={
            "help": "host:port of `/metrics`, `/health` and `/live` over HTTP; port 0 picks one, empty is off"
        },
    )
    traces: str = field(
        default="",
        metadata={
            "help": "http(s)://HOST:PORT of an OTLP/HTTP collector that gets a span a call; empty is off"
        },
    )
    log_level: str = field(default="info", metadata={"help": "debug, info, warning or error"})

    def __post_init__(self) -> None:
        """Raise `StartError` for the first setting that makes no sense."""
        host_and_port(self.address)
        store_location(self.data_dir, self.database_url)
        if self.metrics_address:
            host_and_port(self.metrics_address, "--metrics-address")
        if not 1 <= self.workers <= _MAX_WORKERS:
            raise StartError(f"--workers: 1 to {_MAX_WORKERS}; one for each core is enough.")
        if not 0 < self.poll_interval < self.max_staleness:
            raise StartError("--poll-interval must be above 0 and below --max-staleness.")
        if self.max_staleness > 60:  # noqa: PLR2004
            raise StartError(
                "--max-staleness: at most 60 seconds; a revocation must not be ignored for longer."
            )
        if not 0 <= self.leeway <= 60:  # noqa: PLR2004
            raise StartError("--leeway: 0 to 60 seconds.")
        if not 0 <= self.grace < math.inf or self.presented_per_minute < 1:
            raise StartError(
                "--grace must be finite and not negative, --presented-per-minute must be at least 1."
            )
        if self.log_level not in {"debug", "info", "warning", "error"}:
            raise StartError("--log-level: debug, info, warning or error.")
        _check_collector(self.traces)
        redis_url.parse(self.redis_url)

    @property
    def database(self) -> Path | str:
        """Where the store is: an SQLite file, or the URL of PostgreSQL."""
        return store_location(self.data_dir, self.database_url)

    @property
    def master_key(self) -> Path:
        """Where the master key is."""
        return paths.master_key(self.data_dir)

    @property
    def admin_token(self) -> Path:
        """Where `almond init` writes the admin token."""
        return paths.admin_token(self.data_dir)


def store_location(data_dir: Path, database_url: str) -> Path | str:
    """Return where the store is, by the data directory and ALMOND_DATABASE_URL; raises `StartError`."""
    if not database_url:
        return paths.database(data_dir)
    if not database_url.startswith(("postgresql://", "postgres://")):
        raise StartError("ALMOND_DATABASE_URL: postgresql://USER@HOST:PORT/DATABASE, or unset for SQLite.")
    return database_url


def _check_collector(url: str) -> None:
    if not url:
        return
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        parts, is_valid = urlsplit(""), None
    if not is_valid or parts.username is not None or parts.query or parts.fragment:
        raise StartError(
            "--traces: http://HOST:PORT or https://HOST:PORT of an OTLP/HTTP collector; what it wants to be "
            "shown goes into OTEL_EXPORTER_OTLP_HEADERS."
        )
