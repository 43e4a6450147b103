"""`almond tokens rotate`: mint a successor of a token, which is revoked when an overlap has passed."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Annotated, Final

import typer
from google.protobuf.duration_pb2 import Duration

from almond.v1 import token_service_pb2 as pb
from almond_client.cli import mint_request, possession
from almond_client.cli.arguments import duration, options, record_id
from almond_client.cli.connection import connect
from almond_client.cli.output import console, record_view
from almond_client.cli.output.failures import Failure, explained
from almond_client.cli.output.secret import LOST, Delivery
from almond_client.errors import AlmondRpcError

if TYPE_CHECKING:
    from almond.v1 import token_pb2
    from almond_client.cli.connection import Connection

_AT_ONCE: Final = ("0", "0s")


def rotate(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the token, as `list` shows it.")],
    overlap: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long the token stays valid beside its successor, such as 24h, at most 30d; with 0 it is"
            " revoked at once.",
        ),
    ] = None,
    take_back: Annotated[
        bool,
        typer.Option(
            "--take-back",
            help="Take a rotation back whose overlap has not passed: the successor is revoked instead.",
        ),
    ] = False,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Replace a token: print a successor with the same permissions, for the same length of time.

    The token itself is revoked when the overlap has passed, and with it what was derived from it. What it
    minted stays valid.

    Your own token needs `create` and `delete` on the feature tokens, all that the token may do, and an end
    that is not before the successor's.
    """
    with explained():
        if (overlap is None) == (not take_back):
            raise Failure.usage("give one of --overlap and --take-back", "such as --overlap 24h")
        record_id.split("ID", token_id)
        request = pb.RotateTokenRequest(token_id=token_id, request_id=request_id, take_back=take_back)
        if overlap is not None:
            seconds = 0 if overlap in _AT_ONCE else duration.seconds(overlap, "--overlap")
            request.overlap.CopyFrom(Duration(seconds=seconds))
        connection = connect(address, api_token_file)
        if take_back:
            _take_back(connection, request, as_json)
        else:
            _rotate(connection, request, as_json)


def _rotate(connection: Connection, request: pb.RotateTokenRequest, as_json: bool) -> None:
    """Rotate a token and print its successor; a successor that cannot be written whole is taken back."""
    is_named = bool(request.request_id)
    request.request_id = request.request_id or str(uuid.uuid4())
    named = f"--request-id {request.request_id}"
    again = f"it may have been rotated: the same command with {named} gets the successor"
    with Delivery() as delivery:
        rotated = mint_request.call(connection, lambda client: client.rotate_token(request), again)

        def undo() -> None:
            if is_named:
                # An earlier command may have rotated it, and delivered the successor.
                raise Failure(f"{named} gets it again")
            _undo(connection, rotated)

        delivery.write(
            _json(rotated) if as_json else rotated.token,
            token_id=rotated.record.id,
            notice=_summary(rotated),
            undo=undo,
        )


def _undo(connection: Connection, rotated: pb.RotateTokenResponse) -> None:
    """Take a rotation back; if that is refused, revoke the successor by possession and say what is left.

    Raises `Failure` if that fails too.
    """
    old = rotated.rotated
    request = pb.RotateTokenRequest(token_id=old.id, take_back=True)
    try:
        connection.call(lambda client: client.rotate_token(request))
    except (AlmondRpcError, Failure):
        left = f"{old.id} {_fate(old)}"
        try:
            possession.revoke_shown(connection, rotated.token, LOST)
        except (AlmondRpcError, Failure) as error:
            raise Failure(f"{error}; {left}, unless you take that back") from None
        left += "; mint a new token" if old.HasField("revoke_time") else ""
        console.warn(f"the rotation could not be taken back: {left}")


def _take_back(connection: Connection, request: pb.RotateTokenRequest, as_json: bool) -> None:
    undone = connection.call(lambda client: client.rotate_token(request))
    if as_json:
        console.print_json(record_view.as_json(undone.rotated, time.time()))
        return
    text = f"{undone.rotated.id} stays valid; {undone.record.id}, its successor, revoked"
    console.out().print(console.clean(text))


def _json(rotated: pb.RotateTokenResponse) -> str:
    now = time.time()
    shown = record_view.as_json(rotated.record, now)
    old = record_view.as_json(rotated.rotated, now)
    return json.dumps(
        {"token": rotated.token, **shown, "branch_id": rotated.branch_id, "rotated": old}, indent=2
    )


def _summary(rotated: pb.RotateTokenResponse) -> str:
    new, old = rotated.record, rotated.rotated
    return (
        f"{new.name}: id {new.id}, valid {mint_request.end_of(new)}. It succeeds {old.id}, which "
        f"{_fate(old)}. It is shown only once: save it now."
    )


def _fate(old: token_pb2.TokenRecord) -> str:
    if old.HasField("revoke_time"):
        return "is revoked"
    return f"is revoked on {console.day_and_time(old.revoke_due_time.seconds)}"
