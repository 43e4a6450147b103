"""The commands `almond init`, `migrate`, `serve` and `dev`: they parse options and call other rooms.

Each command imports what it needs when it runs: `almond tokens ...` loads this module too, and should not
have to load a database driver.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from almond_server.config.addresses import DEFAULT_ADDRESS, MAX_PORT, is_loopback
from almond_server.config.settings import (
    DEFAULT_METRICS_ADDRESS,
    POSTGRES_STALENESS,
    SQLITE_STALENESS,
    Settings,
)
from almond_server.config.variables import check_dev
from almond_server.data_dir import file_causes, paths
from almond_server.errors import RefusedError, StartError, for_operators
from almond_server.ops import store_commands
from almond_server.ops.console import (
    DATABASE_URL,
    DEV_DIR,
    EXIT_USAGE,
    AsJson,
    DataDir,
    location_of,
    out,
    reported_errors,
    say,
)
from almond_server.process.listen import check_free

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

# Read by `serve` itself: typer takes an empty variable for unset, but an empty one switches the port off.
_METRICS_ADDRESS: Final = "ALMOND_METRICS_ADDRESS"

_FOR_MAKE: Final = ", or say `ALMOND_ADDRESS={} make run`"

Address = Annotated[str, typer.Option(envvar="ALMOND_ADDRESS", help="host:port to listen on.")]


_HELP: Final = {each.name: each.metadata["help"] for each in fields(Settings)}


def _flag(name: str, **more: Any) -> Any:
    """Return the option of a setting, with its variable and help text."""
    return typer.Option(envvar=f"ALMOND_{name.upper()}", help=_HELP[name], **more)


def register(app: typer.Typer) -> None:
    """Add the server's commands to the command line."""
    for command, example in (
        (init, "init --data-dir ~/almond-data"),
        (migrate, "migrate --data-dir ~/almond-data"),
        (serve, "serve --data-dir ~/almond-data --workers 2"),
        (dev, "dev"),
    ):
        app.command(command.__name__, epilog=f"Example: almond {example}")(command)
    app.add_typer(store_commands.store, name="store")
    app.add_typer(store_commands.audit, name="audit")


def init(
    data_dir: DataDir = DEV_DIR,
    *,
    new_admin_token: Annotated[
        bool,
        typer.Option(
            "--new-admin-token",
            help="Write a new admin token into the file of the old one, which stays valid until it ends or is"
            " revoked (ops/ADMIN_TOKEN.md).",
        ),
    ] = False,
    admin_days: Annotated[
        int,
        typer.Option(
            min=1,
            max=36_500,
            help="Days until the admin token ends, and with it all that it mints.",
        ),
    ] = 90,
    as_json: AsJson = False,
) -> None:
    """Make the master key, the store with its key ring, and an admin token. Safe to run again."""
    from almond_server.ops import bootstrap

    with reported_errors():
        token_file = asyncio.run(
            bootstrap.init(
                data_dir,
                location_of(data_dir),
                new_admin_token=new_admin_token,
                admin_days=admin_days,
            )
        )
    if token_file is None:
        sentence = (
            f"{data_dir} is initialised already; nothing was changed.\n"
            "If the admin token is lost or expired, run: almond init --new-admin-token"
        )
    else:
        sentence = (
            f"The admin token is in {token_file} (mode 0600, valid for {admin_days} days).\n"
            "What it mints ends with it: ops/ADMIN_TOKEN.md says how to renew it in time."
        )
    written = None if token_file is None else str(token_file)
    say(sentence, as_json=as_json, data_dir=str(data_dir), written_admin_token=written)


def migrate(data_dir: DataDir = DEV_DIR, *, as_json: AsJson = False) -> None:
    """Migrate the store's schema to this version's. Safe to run again."""
    from almond_server.adapters.sql import schema

    with reported_errors():
        before, after = schema.migrate(location_of(data_dir))
    changed = f"Schema {before or 'none'} -> {after}."
    say(
        f"Schema {after}: nothing to do." if before == after else changed,
        as_json=as_json,
        schema_before=before,
        schema=after,
    )


def serve(  # noqa: PLR0913, PLR0917 - one parameter a setting
    data_dir: DataDir = DEV_DIR,
    address: Address = DEFAULT_ADDRESS,
    workers: Annotated[int, _flag("workers")] = 1,
    max_staleness: Annotated[
        float | None, _flag("max_staleness", show_default="5 on SQLite, 60 on PostgreSQL")
    ] = None,
    poll_interval: Annotated[float, _flag("poll_interval")] = 0.5,
    leeway: Annotated[int, _flag("leeway")] = 5,
    grace: Annotated[float, _flag("grace")] = 10.0,
    presented_per_minute: Annotated[int, _flag("presented_per_minute")] = 10,
    traces: Annotated[str, _flag("traces")] = "",
    log_level: Annotated[str, _flag("log_level")] = "info",
    *,
    metrics_address: Annotated[
        str,
        typer.Option(
            default_factory=lambda: os.environ.get(_METRICS_ADDRESS, DEFAULT_METRICS_ADDRESS),
            show_default=DEFAULT_METRICS_ADDRESS,
            help=f"host:port of /metrics, /health and /live over HTTP; '' is off [env: {_METRICS_ADDRESS}]",
        ),
    ],
) -> None:
    """Run the server on a store that `almond init` made. Redis is at ALMOND_REDIS_URL.

    The store is SQLite in the data directory, or the PostgreSQL at ALMOND_DATABASE_URL. With several workers,
    SIGHUP replaces them one after the other, and no call is lost.
    """
    from almond_server.telemetry import logs

    database_url = os.environ.get(DATABASE_URL, "")
    if max_staleness is None:
        max_staleness = POSTGRES_STALENESS if database_url else SQLITE_STALENESS
    with reported_errors():
        settings = Settings(
            data_dir=data_dir,
            redis_url=os.environ.get("ALMOND_REDIS_URL", ""),
            database_url=database_url,
            address=address,
            workers=workers,
            max_staleness=max_staleness,
            poll_interval=poll_interval,
            leeway=leeway,
            grace=grace,
            presented_per_minute=presented_per_minute,
            traces=traces,
            metrics_address=metrics_address,
            log_level=log_level,
        )
        logs.configure(settings.log_level)
        with _logged_refusals():
            asyncio.run(_server_for(settings)(settings, lambda _: None))


@contextmanager
def _logged_refusals() -> Iterator[None]:
    """Log a refusal of the block, and exit with code 2: once there is a log, all lines have its format."""
    import structlog

    try:
        yield
    except (StartError, RefusedError) as error:
        why = for_operators(error)
    except OSError as error:
        if error.filename is None:
            raise
        why = file_causes.describe(error)
    else:
        return
    structlog.get_logger().error("server.refused", why=why)
    raise typer.Exit(EXIT_USAGE)


def _server_for(
    settings: Settings,
) -> Callable[[Settings, Callable[[int], None]], Coroutine[Any, Any, None]]:
    if settings.workers > 1:
        from almond_server.workers import supervisor

        return supervisor.serve
    from almond_server.process import serve

    return serve.serve


def dev(data_dir: DataDir = DEV_DIR, address: Address = DEFAULT_ADDRESS) -> None:
    """Run all of Almond for development, on loopback only: store, Valkey, server and admin token."""
    from almond_server.adapters.sql import schema
    from almond_server.ops import bootstrap

    with reported_errors():
        if not is_loopback(address):
            raise StartError("`almond dev` listens on loopback only; use `almond serve` for anything else.")
        if os.environ.get(DATABASE_URL):
            raise StartError(
                f"`almond dev` uses an SQLite store of its own: unset {DATABASE_URL}, or use `almond serve`."
            )
        check_dev(os.environ)
        location_of(data_dir)
        check_free(address, advice=_FOR_MAKE.format(_next_address(address)))
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(data_dir):
            if paths.database(data_dir).exists():
                schema.migrate(paths.database(data_dir))
            asyncio.run(bootstrap.init(data_dir))
            asyncio.run(bootstrap.renew_admin(data_dir))
            _dev(data_dir, address)


def _next_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1 if int(port) < MAX_PORT else int(port) - 1}"


def _dev(data_dir: Path, address: str) -> None:
    from almond_server.ops.valkey_child import ValkeyChild
    from almond_server.process import serve
    from almond_server.telemetry import logs

    def run(redis_url: str) -> None:
        settings = Settings(
            data_dir=data_dir,
            redis_url=redis_url,
            address=address,
            metrics_address=os.environ.get(_METRICS_ADDRESS, ""),
            log_level=os.environ.get("ALMOND_LOG_LEVEL") or "warning",
        )
        logs.configure(settings.log_level)
        asyncio.run(serve.serve(settings, lambda port: _welcome(settings, port)))

    redis_url = os.environ.get("ALMOND_REDIS_URL")
    if redis_url:
        run(redis_url)
        return
    valkey = ValkeyChild(data_dir)
    try:
        run(valkey.url)
    finally:
        valkey.stop()


def _welcome(settings: Settings, port: int) -> None:
    address = f"{settings.address.rpartition(':')[0]}:{port}"
    almond = "almond" if shutil.which("almond") else os.path.relpath(sys.argv[0])
    flags = "" if address == DEFAULT_ADDRESS else f" --address {address}"
    if settings.data_dir.resolve() != DEV_DIR.resolve():
        flags += f" --api-token-file {settings.admin_token}"
    out.print(f"Almond is ready on {address}. Ctrl-C stops it; its data stay in {settings.data_dir}/.")
    out.print(f"The admin token is in {settings.admin_token}.\n")
    out.print("Try, in a second terminal, from this directory:\n")
    for command in (
        f"{almond} tokens create deploy --org acme --app web{flags} > web.token",
        f"{almond} tokens verify -t - --org acme --app web --action w{flags} < web.token",
        f"{almond} tokens revoke --token -{flags} < web.token",
    ):
        out.print(f"  {command}", markup=False)


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    with (data_dir / "dev.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise StartError(
                f"`almond dev` runs on {data_dir} already (process {owner}). Stop that, or change --data-dir."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
