"""`almond tokens attenuate`: narrow a token. Any holder can, offline, without a key or a service."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from almond_client.cli import lifetime
from almond_client.cli.arguments import (
    actions,
    argv,
    caveat_file,
    key_value,
    options,
    standard_input,
    token_text,
)
from almond_client.cli.connection import connect
from almond_client.cli.narrowing import Narrowing
from almond_client.cli.output.failures import Failure, explained
from almond_core.caveats import Action, Apps, Attribute, Audience, Caveat, Commands, Ip, Pattern
from almond_core.caveats.audience import ALMOND, SERVICE
from almond_core.masks import ALL
from almond_core.model import checked_id


def attenuate(
    token: options.TokenText,
    caveats: options.CaveatFile = None,
    app: Annotated[str | None, typer.Option("--app", "-a", help="Only this app.")] = None,
    action: Annotated[
        str | None,
        typer.Option("--action", "-A", metavar="ACTIONS", help=f"Only these actions: {actions.HELP}."),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only reading: the same as --action r.")
    ] = False,
    expires_in: Annotated[
        str | None,
        typer.Option(
            "--expires-in", metavar="DURATION", help="Only for this long from now, such as 10m or 7d."
        ),
    ] = None,
    until: options.Until = None,
    command: Annotated[
        list[str] | None,
        typer.Option(help="Only to run this command, split as a shell would. Several are alternatives."),
    ] = None,
    audience: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVICE", help="Only when shown to this service. Several are alternatives."),
    ] = None,
    ip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR",
            help="Only calls from these addresses, such as 10.0.0.0/8. Several are alternatives.",
        ),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Only requests with this attribute. Several of one key are alternatives.",
        ),
    ] = None,
    label: Annotated[
        str, typer.Option(help="A name for the narrowed token; anybody who holds it can read it.")
    ] = "",
    register: options.Register = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Narrow a token that you hold, offline. Prints the new token, and nothing else, on standard output."""
    with explained():
        if token == caveats == standard_input.NAME:
            raise Failure.usage("standard input can contain the token or the caveats, not both")
        if action is not None and read_only:
            raise Failure.usage("--read-only means --action r: give only one of them")
        added = caveat_file.read(caveats) if caveats is not None else []
        added += _about_objects(app, "r" if read_only else action, command or [])
        added += _about_the_call(audience or [], ip or [], attribute or [])
        added += lifetime.added("--expires-in", expires_in, until, now=int(time.time()))
        if not added and not label:
            raise Failure.usage(
                "nothing to add: the token would not become narrower",
                "give --app, --action, --read-only, --expires-in, --until, --command, --audience, --ip,"
                " --attribute, --caveats or --label",
            )
        narrowing = Narrowing(token_text.read(token), added, label)
        narrowing.show(connect(address, api_token_file) if register else None, as_json)


def _about_objects(app: str | None, action: str | None, commands: list[str]) -> list[Caveat]:
    added: list[Caveat] = []
    if app is not None:
        added.append(Apps({checked_id("app", app): ALL}))
    if action is not None:
        added.append(Action(actions.mask_of(action)))
    if commands:
        added.append(Commands(tuple(Pattern(argv.split("--command", each)) for each in commands)))
    return added


def _about_the_call(audience: list[str], ip: list[str], attributes: list[str]) -> list[Caveat]:
    added: list[Caveat] = []
    if audience:
        added.append(Audience.parse((list(map(_service, audience)),)))
    if ip:
        added.append(Ip.parse((list(ip),)))
    grouped: dict[str, list[str]] = {}
    for key, value in key_value.read("--attribute", attributes):
        grouped.setdefault(key, []).append(value)
    added.extend(Attribute.parse((key, list(values))) for key, values in grouped.items())
    return added


def _service(text: str) -> str:
    return text if text == ALMOND or text.startswith(SERVICE) else f"{SERVICE}{text}"
