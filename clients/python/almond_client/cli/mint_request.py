"""Mints a token and prints it, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from google.protobuf.duration_pb2 import Duration

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments import duration
from almond_client.cli.output import console, record_view
from almond_core import minting
from almond_core.errors import CaveatError
from almond_core.model import ANY

if TYPE_CHECKING:
    from almond.v1 import kind_pb2, token_pb2
    from almond_client.cli.connection import Connection

_SHORTER_SECONDS: Final = 60


def request(kind: kind_pb2.Kind, org: str, name: str, expiry: str | None) -> pb.MintRequest:
    """Return the request for a token; raises `Failure` (usage) for a malformed duration."""
    made = pb.MintRequest(kind=kind, org=org, name=name)
    if expiry is not None:
        made.ttl.CopyFrom(Duration(seconds=duration.seconds(expiry)))
    return made


def mint(connection: Connection, request: pb.MintRequest, as_json: bool) -> None:
    """Mint a token and print it alone on standard output; all other text goes to standard error."""
    minted = connection.call(lambda client: client.mint(request))
    if as_json:
        shown = record_view.as_json(minted.record, time.time())
        console.print_json({"token": minted.token, **shown, "branch_id": minted.branch_id})
        return
    console.print_secret(minted.token)
    console.err().print(f"{_summary(minted.record)}. It is shown only once: save it now.", style="dim")
    if _is_shorter(minted.record, request):
        console.err().print(
            "It expires earlier than you asked for: no token outlives the token that mints it."
        )
    if _is_for_any_org(minted.record):
        console.warn("it is valid for any org; add an org caveat to limit it")


def _summary(made: token_pb2.TokenRecord) -> str:
    end = (
        f"until {console.day_and_time(made.expire_time.seconds)}"
        if made.HasField("expire_time")
        else "for ever"
    )
    return f"{console.clean(made.name)}: id {console.clean(made.id)}, valid {end}"


def _is_shorter(made: token_pb2.TokenRecord, request: pb.MintRequest) -> bool:
    if not request.HasField("ttl") or not made.HasField("expire_time"):
        return False
    return made.expire_time.seconds < made.create_time.seconds + request.ttl.seconds - _SHORTER_SECONDS


def _is_for_any_org(made: token_pb2.TokenRecord) -> bool:
    try:
        return made.kind == "custom" and minting.orgs_left(each.encode() for each in made.caveats) == [ANY]
    except CaveatError:
        return False
