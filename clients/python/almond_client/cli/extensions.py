"""Commands from other packages: entry points of the group `almond.commands`, each a `register(app)`.

So the client's command line need not know the server. Where its extra is missing, its commands say so.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

import typer

from almond_client.cli.output.failures import Failure, explained

GROUP: Final = "almond.commands"
SERVER_COMMANDS: Final = ("init", "migrate", "serve", "dev", "store", "audit")

_HELP: Final = "Needs the server: pip install '.[server]' in a clone."


def add_commands(app: typer.Typer) -> None:
    """Let every installed extension add its commands; raises whatever a broken one raises."""
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
