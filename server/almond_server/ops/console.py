"""Shared parts of the operator's commands: common options, the store's location, output and exit codes."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from almond_server.config.settings import store_location
from almond_server.config.variables import check_names
from almond_server.errors import RefusedError, StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_USAGE: Final = 2
DATABASE_URL: Final = "ALMOND_DATABASE_URL"
DEV_DIR: Final = Path(".almond")

DataDir = Annotated[
    Path,
    typer.Option(
        envvar="ALMOND_DATA_DIR", help="Directory of the store, the master key and the admin token."
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def location_of(data_dir: Path) -> Path | str:
    """Return the store's location: ALMOND_DATABASE_URL if set, else an SQLite file in the data directory."""
    return store_location(data_dir, os.environ.get(DATABASE_URL, ""))


def say(sentence: str, *, as_json: bool, **fields: object) -> None:
    """Print the result of a command: `fields` as JSON, or a `sentence` that says the same."""
    if as_json:
        typer.echo(json.dumps(fields, indent=2))
    else:
        out.print(sentence, markup=False)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Print a refusal or a file's error of the block as one line, and exit with code 2.

    Before the block, an `ALMOND_*` variable that nothing reads is refused. Refusals are `StartError` and
    `RefusedError`; the file's error is an `OSError` that names one.
    """
    try:
        check_names(os.environ)
        yield
    except (StartError, RefusedError) as error:
        _err.print(f"error: {error}", markup=False)
        raise typer.Exit(EXIT_USAGE) from None
    except OSError as error:
        if error.filename is None:
            raise
        place, user = error.filename2 or error.filename, os.geteuid()
        _err.print(
            f"error: {place}: {error.strerror}. This process runs as user {user}: choose a place that this "
            "user can write to.",
            markup=False,
        )
        raise typer.Exit(EXIT_USAGE) from None
