"""`almond tokens list`: the records of an org's or an app's tokens."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich import box
from rich.padding import Padding
from rich.table import Table
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
    """Whose tokens to list."""

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
    show_all: Annotated[bool, typer.Option("--all", help="Revoked and expired ones too.")] = False,
    tree: Annotated[
        bool,
        typer.Option("--tree", help="Derived tokens under their parents, minted ones under their minters."),
    ] = False,
    wide: Annotated[
        bool, typer.Option("--wide", help="Also who minted and who revoked it, why, and what it may do.")
    ] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List tokens, newest first. The secret text of a token is kept nowhere, so it is not here either.

    Tokens of several orgs, or of any, belong to no single one: --org almond lists them.
    """
    with explained():
        connection = connect(address, api_token_file)
        if scope is Scope.APP and app is None:
            raise Failure.usage("--scope app: which app?", "give --app APP, or set ALMOND_APP")
        request = pb.ListTokensRequest(
            org=connection.org_or_home(org),
            app=None if scope is Scope.ORG else app,
            show_all=show_all,
            page_size=_PAGE,
        )

        async def all_pages(client: AsyncClient) -> list[token_pb2.TokenRecord]:
            return [each async for each in client.records(request)]

        records = connection.ask(all_pages)
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
        print_table(records, now, wide=wide)


def print_table(records: Sequence[token_pb2.TokenRecord], now: float, *, wide: bool = False) -> None:
    """Print records as a table; on a terminal too narrow for one, a paragraph each."""
    out = console.out()
    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    columns = record_view.COLUMNS + (record_view.WIDE_COLUMNS if wide else ())
    for name in columns:
        # Cells may break over lines. Nothing is cut, and an id stays in one piece to copy.
        table.add_column(name, overflow="fold", no_wrap=name == "ID")
    rows = [record_view.row(each, now, wide=wide) for each in records]
    for row in rows:
        table.add_row(*row)
    if out.measure(table, options=out.options.update(width=console.ENDLESS)).minimum <= out.width:
        out.print(table, soft_wrap=False)
        return
    for each, row in zip(records, rows, strict=True):
        # The state is beside the id, where no name that somebody chose can stand in for it.
        out.print(Text(f"{each.id}  {record_view.state(each, now)}", style="bold"))
        out.print(Padding(_sentence(columns, row), (0, 0, 0, 4)), soft_wrap=False)


def _sentence(columns: Sequence[str], row: Sequence[str]) -> Text:
    cells = zip(columns, row, strict=True)
    told = (f"{name.lower()} {cell}" for name, cell in cells if name not in {"ID", "STATE"} and cell != "-")
    return Text(", ".join(told))


def _tree(records: Sequence[token_pb2.TokenRecord], now: float) -> Tree:
    # What hangs below something that is not listed (or is older than the service) hangs below the root.
    whole = Tree("tokens", guide_style="dim")
    branches = {each.id: Tree(_leaf(each, now)) for each in records}
    for each in reversed(records):
        above = each.parent_id or each.minter_token_id
        branches.get(above, whole).children.append(branches[each.id])
    return whole


def _leaf(each: token_pb2.TokenRecord, now: float) -> Text:
    sort = "derived" if each.branch_id else each.kind
    place = f"app {each.app}" if each.app else ""
    words = (each.id, each.name, sort, place, each.subject, record_view.state(each, now))
    return Text(console.clean("  ".join(word for word in words if word)))
