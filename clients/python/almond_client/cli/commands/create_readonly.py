"""`almond tokens create readonly`: mint a token that reads an org, or narrow a token to reading."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from almond.v1 import kind_pb2
from almond_client.cli import lifetime
from almond_client.cli.arguments import options, token_text
from almond_client.cli.connection import connect
from almond_client.cli.mint_request import mint, request
from almond_client.cli.narrowing import Narrowing
from almond_client.cli.output.failures import Failure, explained
from almond_core.caveats import Action, Caveat, Org
from almond_core.kinds import Readonly
from almond_core.masks import parse_mask
from almond_core.model import checked_id


def readonly(
    context: typer.Context,
    org: options.Org = None,
    name: options.Name = "",
    expiry: options.Expiry = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    from_existing: Annotated[
        bool,
        typer.Option("--from-existing", help="Narrow the token given with -t to reading, offline."),
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", "-t", metavar="TOKEN|-", help="With --from-existing: the token. `-` is standard input."
        ),
    ] = None,
    register: options.Register = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A token that reads one org and everything in it."""
    with explained():
        if not from_existing:
            if token is not None or register:
                raise Failure.usage("--token and --register go with --from-existing")
            connection = connect(address, api_token_file)
            kind = kind_pb2.Kind(readonly=kind_pb2.ReadonlyKind())
            mint(
                connection,
                request(kind, connection.org_or_home(org), name, expiry, until, request_id),
                as_json,
            )
            return
        if request_id:
            raise Failure.usage("--request-id goes with minting, not with --from-existing")
        if token is None:
            raise Failure.usage("--from-existing needs the token: -t -", "pipe it in: -t - < org.token")
        # ALMOND_ORG is meant for minting. Only --org on the command line narrows the token to an org.
        source = context.get_parameter_source("org")
        is_given = source is not None and source.name == "COMMANDLINE"
        added = _added(org if is_given else None, expiry, until)
        narrowing = Narrowing(token_text.read(token), added, name or Readonly.TITLE)
        narrowing.show(connect(address, api_token_file) if register else None, as_json)


def _added(org: str | None, expiry: str | None, until: str | None) -> list[Caveat]:
    read = parse_mask("r")
    added: list[Caveat] = [Action(read) if org is None else Org(checked_id("--org", org), read)]
    return [*added, *lifetime.added("--expiry", expiry, until, now=int(time.time()))]
