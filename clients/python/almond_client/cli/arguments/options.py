"""The options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from almond_client.cli import completion
from almond_client.cli.arguments import current

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"

Address = Annotated[
    str,
    typer.Option(
        "--address", envvar="ALMOND_ADDRESS", help="The address of the service: host:port or unix:/path."
    ),
]
ApiTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--api-token-file",
        metavar="FILE",
        help="A file with your own token, with which you call the service. Without it: the variable"
        " ALMOND_API_TOKEN, then .almond/admin.token in this directory if the address is on this machine.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_FROM_PROJECT: Final = "(default: that of almond.toml in this directory or the project's)"

# The org is eager, so that it is known when the app of a project file is looked up.
App = Annotated[
    str | None,
    typer.Option(
        "--app",
        "-a",
        envvar="ALMOND_APP",
        callback=current.app,
        autocompletion=completion.apps,
        help=f"The app's id. {_FROM_PROJECT}",
    ),
]
RequiredApp = Annotated[
    str,
    typer.Option(
        "--app",
        "-a",
        envvar="ALMOND_APP",
        default_factory=lambda: None,
        show_default=False,
        callback=current.required_app,
        autocompletion=completion.apps,
        help=f"The app's id. {_FROM_PROJECT}",
    ),
]
Org = Annotated[
    str | None,
    typer.Option(
        "--org",
        "-o",
        envvar="ALMOND_ORG",
        is_eager=True,
        callback=current.org,
        autocompletion=completion.orgs,
        help="The org's id. (default: that of almond.toml, then that of your own token, if it is for one)",
    ),
]
RequiredOrg = Annotated[
    str,
    typer.Option(
        "--org",
        "-o",
        envvar="ALMOND_ORG",
        is_eager=True,
        default_factory=lambda: None,
        show_default=False,
        callback=current.required_org,
        autocompletion=completion.orgs,
        help=f"The org's id. {_FROM_PROJECT}",
    ),
]
Name = Annotated[
    str, typer.Option("--name", "-n", help="A name to find the token by. (default: that of the kind)")
]
Expiry = Annotated[
    str | None,
    typer.Option(
        "--expiry",
        "-x",
        metavar="DURATION",
        help="How long the token is valid, such as 90m, 48h, 30d or 2w. It never outlives your own token."
        " (default: until your own token ends, 20 years, or what the org's policy says, whichever is first)",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME",
        help="Until when the token is valid, in place of a duration: through a day, as 2026-12-24 (it ends at"
        " the next 00:00 UTC), or up to a time, as 2026-12-24T18:00:00+02:00.",
    ),
]
RequestId = Annotated[
    str,
    typer.Option(
        "--request-id",
        metavar="ID",
        help="A name of this request, best a random UUID. Within 24 hours the same command with the same ID"
        " gets the same token, should its answer or its text have been lost.",
    ),
]
Register = Annotated[
    bool,
    typer.Option(
        "--register",
        help="Let the service keep a record of the token: it is then listed, and can be revoked alone."
        " Your own token needs the right to create tokens in its org.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
TokenText = Annotated[
    str,
    typer.Option(
        "--token",
        "-t",
        metavar="TOKEN|-",
        help="The token. `-` reads it from standard input, which is safer: a token on the command line is"
        " visible in the process list and stays in the shell's history.",
    ),
]
CaveatFile = Annotated[
    str | None,
    typer.Option(
        "--caveats",
        metavar="FILE|-",
        help='JSON list of caveats, such as [["org", "acme", "r"], ["apps", {"web": "*"}]].',
    ),
]
