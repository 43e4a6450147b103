"""`almond tokens attenuate`: narrow a token. Works offline: any holder may, without a key or a service."""

from __future__ import annotations

import base64
import secrets
import time
from typing import Annotated

import typer

from almond_client.cli import actions, caveat_file, duration, options, screen, token_text
from almond_client.cli.failures import Failure, explained
from almond_core import minting, wire
from almond_core.caveats import Action, Apps, Caveat, Label, Valid
from almond_core.caveats.label import ID_BYTES
from almond_core.masks import ALL
from almond_core.model import checked_id


def attenuate(
    token: options.TokenText,
    caveats: options.CaveatFile = None,
    app: Annotated[str | None, typer.Option("--app", "-a", help="Only this app.")] = None,
    action: Annotated[
        str | None, typer.Option("--action", "-A", metavar="ACTIONS", help="Only these: rw, or read,write.")
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only reading: the same as --action r.")
    ] = False,
    expires_in: Annotated[
        str | None,
        typer.Option("--expires-in", metavar="DURATION", help="Only so long from now, such as 10m."),
    ] = None,
    label: Annotated[
        str, typer.Option(help="A name for the narrowed token; anybody who holds it can read it.")
    ] = "",
    as_json: options.AsJson = False,
) -> None:
    """Make a narrower token out of one you hold, offline. Prints it, and only it, on standard output.

    Example: almond tokens attenuate -t - --app web --read-only --expires-in 10m < org.token
    """
    with explained():
        if token == caveats == token_text.STDIN:
            raise Failure.usage("standard input can hold the token or the caveats, not both")
        added = _added(caveats, app, _mask_text(action, read_only), expires_in)
        if not added and not label:
            raise Failure.usage(
                "nothing to add: the token would stay as wide as it is",
                "give --app, --action, --read-only, --expires-in, --caveats or --label",
            )
        text = token_text.read(token)
        narrowed = minting.attenuate(text, added, Label.new(secrets.token_bytes(ID_BYTES), label))
        token_id = wire.decode(narrowed.text).unverified_identity.token_id
    branch_id = base64.urlsafe_b64encode(narrowed.branch_id).decode().rstrip("=")
    if as_json:
        shown = [raw.decode("utf-8", "backslashreplace") for raw in narrowed.caveats]
        screen.print_json({"token": narrowed.text, "id": token_id, "branch_id": branch_id, "caveats": shown})
        return
    screen.print_secret(narrowed.text)
    screen.err().print(
        f"Narrowed. To withdraw just this one: almond tokens revoke --branch {token_id}/{branch_id}",
        style="dim",
    )


def _mask_text(action: str | None, read_only: bool) -> str | None:
    if action is not None and read_only:
        raise Failure.usage("--read-only is --action r: give one of them")
    return "r" if read_only else action


def _added(source: str | None, app: str | None, action: str | None, expires_in: str | None) -> list[Caveat]:
    added = caveat_file.read(source) if source is not None else []
    if app is not None:
        added.append(Apps({checked_id("app", app): ALL}))
    if action is not None:
        added.append(Action(actions.mask_of(action)))
    if expires_in is not None:
        added.append(Valid(None, int(time.time()) + duration.seconds(expires_in)))
    return added
