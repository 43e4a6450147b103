"""Mints a token and prints it, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from almond.v1 import token_service_pb2 as pb
from almond_client.cli import lifetime
from almond_client.cli.output import console, record_view
from almond_core import minting
from almond_core.errors import CaveatError
from almond_core.model import ANY

if TYPE_CHECKING:
    from almond.v1 import kind_pb2, token_pb2
    from almond_client.cli.connection import Connection


def request(
    kind: kind_pb2.Kind, org: str, name: str, expiry: str | None, until: str | None
) -> pb.MintRequest:
    """Return the request for a token; raises `Failure` (usage) for a malformed or past end."""
    made = pb.MintRequest(kind=kind, org=org, name=name)
    seconds = lifetime.seconds_of("--expiry", expiry, until, now=int(time.time()))
    if seconds is not None:
        made.ttl.CopyFrom(Duration(seconds=seconds))
    return made


def mint(connection: Connection, request: pb.MintRequest, as_json: bool) -> None:
    """Mint a token and print it alone on standard output; all other text goes to standard error."""
    minted = connection.call(lambda client: client.mint(request))
    cut = lifetime.cut_of(request, minted.record)
    if as_json:
        shown = record_view.as_json(minted.record, time.time())
        shown |= {"branch_id": minted.branch_id, "lifetime_cut": None if cut is None else cut.as_json()}
        console.print_json({"token": minted.token, **shown})
        return
    console.print_secret(minted.token)
    console.err().print(f"{_summary(minted.record)}. It is shown only once: save it now.", style="dim")
    if cut is not None:
        console.err().print(console.clean(cut.sentence))
    if _is_for_any_org(minted.record):
        console.warn("it is valid for any org; add an org caveat to limit it")


def _summary(made: token_pb2.TokenRecord) -> str:
    end = (
        f"until {console.day_and_time(made.expire_time.seconds)}"
        if made.HasField("expire_time")
        else "for ever"
    )
    return f"{console.clean(made.name)}: id {console.clean(made.id)}, valid {end}"


def _is_for_any_org(made: token_pb2.TokenRecord) -> bool:
    try:
        return made.kind == "custom" and minting.orgs_left(each.encode() for each in made.caveats) == [ANY]
    except CaveatError:
        return False
