"""`almond tokens list`: show the records of the tokens of an org or an app."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text
from rich.tree import Tree

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments import options
from almond_client.cli.connection import connect
from almond_client.cli.output import console, record_view
from almond_client.cli.output.failures import Failure, explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond.v1 import token_pb2
    from almond_client.client import AsyncClient

_PAGE: Final = 500


class Scope(Enum):
    """The tokens to list: those of an org, or of one app."""

    ORG = "org"
    APP = "app"


def list_tokens(
    org: options.Org = None,
    app: options.App = None,
    scope: Annotated[
        Scope | None,
        typer.Option(
            "--scope",
            "-s",
            help="`app`: tokens of the app. `org`: all of the org. (default: app, if one is given)",
        ),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="List revoked and expired tokens too.")] = False,
    mine: Annotated[
        bool,
        typer.Option(
            "--mine",
            help="List only what your own token minted, what that minted, and so on; of any org, unless one"
            " is given. Needs no right but to mint.",
        ),
    ] = False,
    tree: Annotated[
        bool,
        typer.Option(
            "--tree", help="Show derived tokens under their parents, minted ones under their minters."
        ),
    ] = False,
    wide: Annotated[
        bool,
        typer.Option("--wide", help="Also show who minted and who revoked a token, why, and what it may do."),
    ] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List tokens, newest first. The secret text of a token is not stored, so it is not shown.

    Tokens for several orgs, or for any org, belong to no single one: --org almond lists them.
    """
    with explained():
        connection = connect(address, api_token_file)
        if scope is Scope.APP and app is None:
            raise Failure.usage("--scope app: which app?", "give --app APP, or set ALMOND_APP")
        request = pb.ListTokensRequest(
            org=org or "" if mine else connection.org_or_home(org),
            app=None if scope is Scope.ORG else app,
            show_all=show_all,
            mine=mine,
            page_size=_PAGE,
        )

        async def all_pages(client: AsyncClient) -> list[token_pb2.TokenRecord]:
            return [each async for each in client.records(request)]

        records = connection.call(all_pages)
    now = time.time()
    if as_json:
        console.print_json([record_view.as_json(each, now) for each in records])
    elif not records:
        console.err().print(
            "No tokens." if show_all else "No live tokens; --all shows revoked and expired ones."
        )
    elif tree:
        console.out().print(_tree(records, now), soft_wrap=False)
    else:
        record_view.print_table(records, now, wide=wide)


def _tree(records: Sequence[token_pb2.TokenRecord], now: float) -> Tree:
    # A token whose parent or minter is not listed (or has no record) is placed below the root.
    root = Tree("tokens", guide_style="dim")
    nodes = {each.id: Tree(_leaf(each, now)) for each in records}
    for each in reversed(records):
        parent_id = each.parent_id or each.minter_token_id
        nodes.get(parent_id, root).children.append(nodes[each.id])
    return root


def _leaf(each: token_pb2.TokenRecord, now: float) -> Text:
    kind = "derived" if each.branch_id else each.kind
    app = f"app {each.app}" if each.app else ""
    parts = (each.id, each.name, kind, app, each.subject, record_view.state(each, now))
    return Text(console.clean("  ".join(part for part in parts if part)))
