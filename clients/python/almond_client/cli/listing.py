"""`almond tokens list`: the records of an org's or an app's tokens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich import box
from rich.table import Table

from almond.v1 import token_service_pb2 as pb
from almond_client.cli import options, record, screen
from almond_client.cli.connection import connect
from almond_client.cli.failures import Failure, explained

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond.v1 import token_pb2
    from almond_client.client import AsyncClient

_COLUMNS: Final = ("ID", "NAME", "KIND", "APP", "SUBJECT", "CREATED", "EXPIRES", "STATE")
_PAGE: Final = 500


def list_tokens(
    org: options.Org = None,
    app: options.App = None,
    show_all: Annotated[bool, typer.Option("--all", help="Revoked and expired ones too.")] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List tokens, newest first. The secret text of a token is kept nowhere, so it is not here either.

    Example: almond tokens list -o acme -a web --all
    """
    with explained():
        if org is None:
            raise Failure.usage(
                "which org?", "give --org ORG or ALMOND_ORG; `almond` lists tokens for any org"
            )
        request = pb.ListTokensRequest(org=org, app=app, show_all=show_all, page_size=_PAGE)

        async def all_pages(client: AsyncClient) -> list[token_pb2.TokenRecord]:
            return [each async for each in client.records(request)]

        records = connect(address, api_token_file).ask(all_pages)
    now = time.time()
    if as_json:
        screen.print_json([record.as_json(each, now) for each in records])
    elif records:
        _print([record.row(each, now) for each in records])
    else:
        screen.err().print(
            "No tokens." if show_all else "No live tokens; --all shows revoked and expired ones."
        )


def _print(rows: Iterable[list[str]]) -> None:
    out = screen.out()
    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    for name in _COLUMNS:
        # On a narrow terminal cells break over lines. Nothing is cut, and an id stays in one piece to copy.
        table.add_column(name, overflow="fold", no_wrap=name == "ID")
    for row in rows:
        table.add_row(*row)
    out.print(table, soft_wrap=False)
