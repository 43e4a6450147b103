"""What the server's commands share: where the store is, how they print, how they fail."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from almond_server.config.settings import store_location
from almond_server.errors import RefusedError, StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXIT_USAGE: Final = 2
DATABASE_URL: Final = "ALMOND_DATABASE_URL"
DEV_DIR: Final = Path(".almond")

DataDir = Annotated[Path, typer.Option(envvar="ALMOND_DATA_DIR", help="Where everything is kept.")]

out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def location_of(data_dir: Path) -> Path | str:
    """Return where the store is: in the data directory, or at ALMOND_DATABASE_URL."""
    return store_location(data_dir, os.environ.get(DATABASE_URL, ""))


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn the errors that tell what to do into one line and exit code 2."""
    try:
        yield
    except (StartError, RefusedError) as error:
        _err.print(f"error: {error}", markup=False)
        raise typer.Exit(_EXIT_USAGE) from None
