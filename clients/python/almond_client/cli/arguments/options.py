"""The options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from almond_client.cli import completion

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
App = Annotated[
    str | None,
    typer.Option("--app", "-a", envvar="ALMOND_APP", help="The app's id.", autocompletion=completion.apps),
]
RequiredApp = Annotated[
    str,
    typer.Option("--app", "-a", envvar="ALMOND_APP", help="The app's id.", autocompletion=completion.apps),
]
Org = Annotated[
    str | None,
    typer.Option(
        "--org",
        "-o",
        envvar="ALMOND_ORG",
        help="The org's id. (default: the org of your own token, if that is for a single one)",
        autocompletion=completion.orgs,
    ),
]
RequiredOrg = Annotated[
    str,
    typer.Option("--org", "-o", envvar="ALMOND_ORG", help="The org's id.", autocompletion=completion.orgs),
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
        help="How long the token is valid, such as 48h or 1h30m; never longer than your own token."
        " (default: 175200h, or what the org's policy says)",
    ),
]
Register = Annotated[
    bool,
    typer.Option(
        "--register",
        help="Let the service keep a record of the token: it is then listed, and can be revoked alone."
        " Your own token needs `create` on the feature tokens.",
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
