"""`almond tokens list`: show the records of the tokens of an org or an app."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text
from rich.tree import Tree

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments import options, record_filter
from almond_client.cli.connection import connect
from almond_client.cli.output import console, record_table, record_view
from almond_client.cli.output.failures import Failure, explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond.v1 import token_pb2
    from almond_client.client import AsyncClient

PAGE: Final = 500
"""How many records a command asks for at once."""


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
    kind: record_filter.Kind = None,
    name: record_filter.Name = None,
    subject: record_filter.Subject = None,
    minted_by: record_filter.MintedBy = None,
    expires_before: record_filter.ExpiresBefore = None,
    unused_since: record_filter.UnusedSince = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="List at most so many, the newest. (default: all)")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="List revoked and expired tokens too.")] = False,
    tree: Annotated[
        bool,
        typer.Option(
            "--tree", help="Show derived tokens under their parents, minted ones under their minters."
        ),
    ] = False,
    wide: Annotated[
        bool,
        typer.Option(
            "--wide",
            help="Also show the minter, why it was revoked and by which token, what it may do, exact times.",
        ),
    ] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List tokens, newest first. The secret text of a token is not stored, so it is not shown.

    Tokens for several orgs, or for any org, belong to no single one: --org almond lists them.

    A terminal shows times relative to now, and no columns that are empty. A pipe gets every column, with
    times in RFC 3339; scripts had better use --json.
    """
    with explained():
        connection = connect(address, api_token_file)
        if scope is Scope.APP and app is None:
            raise Failure.usage("--scope app: which app?", "give --app APP, or set ALMOND_APP")
        request = pb.ListTokensRequest(
            org=connection.org_or_home(org),
            app=None if scope is Scope.ORG else app,
            show_all=show_all,
            page_size=PAGE if limit is None else min(limit, PAGE),
        )
        wanted = record_filter.RecordFilter(kind, name, subject, minted_by, expires_before, unused_since)
        wanted.put_into(request)
        records = connection.call(lambda client: all_records(client, request, limit))
    now = time.time()
    if as_json:
        console.print_json([record_view.as_json(each, now) for each in records])
    elif not records:
        console.err().print(_nothing(is_filtered=wanted.is_given, show_all=show_all))
    elif tree:
        console.out().print(_tree(records, now, wide=wide), soft_wrap=False)
    else:
        record_table.show(records, now, wide=wide, org=request.org)


async def all_records(
    client: AsyncClient, request: pb.ListTokensRequest, limit: int | None = None
) -> list[token_pb2.TokenRecord]:
    """Return the records of all pages, or the first `limit`."""
    found: list[token_pb2.TokenRecord] = []
    async for each in client.records(request):
        found.append(each)
        if len(found) == limit:
            break
    return found


def _nothing(*, is_filtered: bool, show_all: bool) -> str:
    what = "token matches" if is_filtered else "tokens"
    return f"No {what}." if show_all else f"No live {what}; --all shows revoked and expired ones."


def _tree(records: Sequence[token_pb2.TokenRecord], now: float, *, wide: bool) -> Tree:
    # A token whose parent or minter is not listed (or has no record) is placed below the root.
    root = Tree("tokens", guide_style="dim")
    nodes = {each.id: Tree(Text(record_table.leaf(each, now, wide=wide))) for each in records}
    for each in reversed(records):
        parent_id = each.parent_id or each.minter_token_id
        nodes.get(parent_id, root).children.append(nodes[each.id])
    return root
