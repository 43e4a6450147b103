"""`almond tokens get`: show the record of one token."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments import options, record_id, token_text
from almond_client.cli.connection import Connection, connect
from almond_client.cli.output import console, record_page, record_view
from almond_client.cli.output.failures import Failure, explained
from almond_client.errors import NotFoundError, PermissionDeniedError

Id = Annotated[
    str, typer.Argument(metavar="ID", help="The id, as `list` shows it; a derived token's is ID/BRANCH.")
]


def get(
    token_id: Id,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the record of a token: what it is, who made it, when it ends, when it was last used.

    The secret text of a token is not stored, so it is not shown.
    """
    with explained():
        if token_text.looks_secret(token_id):
            raise Failure.usage(
                "that is a token, not its id; it is in the process list and the shell's history now",
                "pipe it into `almond tokens inspect -t -`",
            )
        record_id.split("ID", token_id)
        record = _record(connect(address, api_token_file), token_id).record
    now = time.time()
    if as_json:
        console.print_json(record_view.as_json(record, now))
    else:
        record_page.show(record, now)


def _record(connection: Connection, token_id: str) -> pb.GetTokenResponse:
    request = pb.GetTokenRequest(token_id=token_id)
    try:
        return connection.call(lambda client: client.get_token(request))
    except (NotFoundError, PermissionDeniedError):
        # One answer for both: which ids exist is for those to know who may see them.
        raise Failure.usage(
            f"{token_id}: there is no such token, or your own token may not see it",
            "`almond tokens list` shows those that it may see",
        ) from None
