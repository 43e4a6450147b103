"""The options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

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
App = Annotated[str | None, typer.Option("--app", "-a", envvar="ALMOND_APP", help="The app's id.")]
RequiredApp = Annotated[str, typer.Option("--app", "-a", envvar="ALMOND_APP", help="The app's id.")]
Org = Annotated[
    str | None,
    typer.Option(
        "--org",
        "-o",
        envvar="ALMOND_ORG",
        help="The org's id. (default: the org of your own token, if that is for a single one)",
    ),
]
RequiredOrg = Annotated[str, typer.Option("--org", "-o", envvar="ALMOND_ORG", help="The org's id.")]
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
