"""Adds the commands of other packages: entry points of the group `almond.commands`, each a `register(app)`.

So the client does not import the server. Without the extra `server`, its commands say how to install it.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

import typer

from almond_client.cli.output.failures import Failure, explained

GROUP: Final = "almond.commands"
SERVER_COMMANDS: Final = ("init", "migrate", "serve", "dev", "store", "audit")

# Rich takes brackets in a help text for markup, unless they are escaped.
_HELP: Final = "Needs the server: pip install '.\\[server]' in a clone."


def add_commands(app: typer.Typer) -> None:
    """Add the commands of each installed extension; one that cannot be imported counts as missing."""
    missing: str | None = "it is not installed"
    for point in entry_points(group=GROUP):
        try:
            register = point.load()
        except ImportError as error:
            missing = str(error)
        else:
            missing = None
            register(app)
    if missing is not None:
        for name in SERVER_COMMANDS:
            _add_stub(app, name, missing)


def _add_stub(app: typer.Typer, name: str, missing: str) -> None:
    @app.command(
        name, help=_HELP, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
    )
    def stub() -> None:
        with explained():
            raise Failure.usage(
                f"`almond {name}` needs the server: pip install '.[server]' in a clone",
                f"what is missing: {missing}",
            )
