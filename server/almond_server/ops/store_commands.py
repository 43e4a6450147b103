"""The commands `almond store` and `almond audit`: backup, recovery and export. They call `recovery`."""
# ruff: noqa: PLC0415 - see commands.py

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from almond_server.errors import StartError
from almond_server.ops.console import DEV_DIR, AsJson, DataDir, location_of, reported_errors, say

if TYPE_CHECKING:
    from almond_server.ops.recovery import Recovered

store = typer.Typer(
    no_args_is_help=True, help="Back up a store, and put back revocations it has lost. See ops/RESTORE.md."
)
audit = typer.Typer(no_args_is_help=True, help="The audit log.")


@store.command("backup", epilog="Example: almond store backup /backup/almond.db")
def backup(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist yet.")],
    data_dir: DataDir = DEV_DIR,
    *,
    as_json: AsJson = False,
) -> None:
    """Copy the SQLite store to a file, while servers run. Keep master.key in another place."""
    from almond_server.ops import recovery

    with reported_errors():
        recovery.backup(location_of(data_dir), file)
    say(
        f"Written to {file}. After a restore run `almond store restored`: see ops/RESTORE.md.",
        as_json=as_json,
        file=str(file),
    )


@store.command("heal", epilog="Example: almond store heal unhealed-*.jsonl")
def heal(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Rescue files of servers, unhealed-*.jsonl; by default those in the data directory."
        ),
    ] = None,
    data_dir: DataDir = DEV_DIR,
    *,
    as_json: AsJson = False,
) -> None:
    """Put back revocations that the store lost, from the rescue files that servers wrote."""
    from almond_server.ops import recovery

    with reported_errors():
        result = asyncio.run(recovery.heal(data_dir, location_of(data_dir), files or []))
    _print_result(result, as_json=as_json)


@store.command("restored", epilog="Example: almond store restored --audit audit.jsonl")
def restored(
    data_dir: DataDir = DEV_DIR,
    audit_file: Annotated[
        Path | None, typer.Option("--audit", help="Output of `almond audit export` from after the backup.")
    ] = None,
    *,
    without_redis: Annotated[
        bool,
        typer.Option(
            "--without-redis",
            help="Do not read Redis, as it is lost too (else it is read at ALMOND_REDIS_URL).",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run this after a restore of the database, before any server starts on it: it begins a new epoch.

    Puts back what was revoked after the backup, as far as Redis and the audit export contain it.
    """
    from almond_server.ops import recovery

    redis_url = os.environ.get("ALMOND_REDIS_URL")
    with reported_errors():
        if not redis_url and not without_redis:
            raise StartError(
                "Set ALMOND_REDIS_URL, so that revocations in Redis are put back, or say --without-redis."
            )
        source = None if without_redis else redis_url
        result = asyncio.run(recovery.restored(data_dir, location_of(data_dir), source, audit_file))
    _print_result(result, as_json=as_json)


@audit.command("export", epilog="Example: almond audit export --after 1200 > audit.jsonl")
def export(
    data_dir: DataDir = DEV_DIR,
    after: Annotated[int, typer.Option(min=0, help="Write only rows with a higher `seq`.")] = 0,
) -> None:
    """Write the audit log as JSON lines, oldest first. Keep them on another machine than the database.

    `at` is the time in unix seconds, `time` the same in RFC 3339. `org`, `app` and `name` are those of the
    token that a row is about, as its record says now.
    """
    from almond_server.ops import recovery

    async def write() -> None:
        async for line in recovery.export_audit(location_of(data_dir), after):
            typer.echo(line)

    with reported_errors():
        asyncio.run(write())


def _print_result(result: Recovered, *, as_json: bool) -> None:
    lines = [f"{source}  {entries} put back" for source, entries in result.entries.items()]
    lines.append(
        f"The store is now in epoch {result.epoch}. Restart the servers. "
        "Revisions that clients kept from before are no longer valid."
    )
    say("\n".join(lines), as_json=as_json, put_back=result.entries, epoch=result.epoch)
