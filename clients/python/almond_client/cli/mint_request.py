"""Mints a token and prints it, once."""

from __future__ import annotations

import json
import signal
import time
import uuid
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.duration_pb2 import Duration

from almond.v1 import token_service_pb2 as pb
from almond_client.cli import lifetime, possession
from almond_client.cli.exit_codes import CANNOT_KNOW, SIGNALLED
from almond_client.cli.output import console, record_view
from almond_client.cli.output.failures import Failure
from almond_client.cli.output.secret import LOST, Delivery
from almond_client.errors import AlmondRpcError
from almond_core import minting
from almond_core.errors import CaveatError
from almond_core.model import ANY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almond.v1 import kind_pb2, token_pb2
    from almond_client.cli.connection import Connection
    from almond_client.client import AsyncClient

_T = TypeVar("_T")


def request(
    kind: kind_pb2.Kind, org: str, name: str, expiry: str | None, until: str | None, request_id: str
) -> pb.MintRequest:
    """Return the request for a token; raises `Failure` (usage) for a malformed or past end."""
    if until is not None and request_id:
        # The request has a duration, which would be another one when the command is repeated.
        raise Failure.usage("--until does not go with --request-id", "give --expiry in place of --until")
    made = pb.MintRequest(kind=kind, org=org, name=name, request_id=request_id)
    seconds = lifetime.seconds_of("--expiry", expiry, until, now=int(time.time()))
    if seconds is not None:
        made.ttl.CopyFrom(Duration(seconds=seconds))
    return made


def mint(connection: Connection, request: pb.MintRequest, as_json: bool) -> None:
    """Mint a token and print it alone on standard output; all other text goes to standard error.

    A token that cannot be written whole is revoked, unless the request has an id to get it with again. Raises
    `Failure` and the client's errors.
    """
    is_named = bool(request.request_id)
    request.request_id = request.request_id or str(uuid.uuid4())
    with Delivery() as delivery:
        minted = _minted(connection, request)
        cut = lifetime.cut_of(request, minted.record)

        def undo() -> None:
            if is_named:
                # An earlier command may have minted it, and delivered it.
                raise Failure(f"--request-id {request.request_id} gets it again")
            possession.revoke_shown(connection, minted.token, LOST)

        delivery.write(
            _json(minted, cut) if as_json else minted.token,
            token_id=minted.record.id,
            notice=_summary(minted.record),
            undo=undo,
        )
    if as_json:
        return
    if cut is not None:
        console.err().print(console.clean(cut.sentence))
    if _is_for_any_org(minted.record):
        console.warn("it is valid for any org; add an org caveat to limit it")


def _minted(connection: Connection, request: pb.MintRequest) -> pb.MintResponse:
    again = f"it may have been minted: the same command with --request-id {request.request_id} gets it"
    if request.HasField("ttl"):
        again += f" (with -x {request.ttl.seconds}s in place of an --until)"
    return call(connection, lambda client: client.mint(request), again)


def call(connection: Connection, work: Callable[[AsyncClient], Awaitable[_T]], again: str) -> _T:
    """Return what `work` returns; if its outcome is not known, the `Failure` says `again`: how to get it."""
    try:
        return connection.call(work)
    except KeyboardInterrupt:
        raise Failure("interrupted", again, SIGNALLED + signal.SIGINT) from None
    except (AlmondRpcError, Failure) as error:
        failure = error if isinstance(error, Failure) else connection.failure_of(error)
        if failure.exit_code == CANNOT_KNOW:
            failure.hint = f"{again}\n{failure.hint}".strip()
        raise failure from None


def _json(minted: pb.MintResponse, cut: lifetime.Cut | None) -> str:
    shown = record_view.as_json(minted.record, time.time())
    shown |= {"branch_id": minted.branch_id, "lifetime_cut": None if cut is None else cut.as_json()}
    return json.dumps({"token": minted.token, **shown}, indent=2)


def _summary(made: token_pb2.TokenRecord) -> str:
    return f"{made.name}: id {made.id}, valid {end_of(made)}. It is shown only once: save it now."


def end_of(made: token_pb2.TokenRecord) -> str:
    """Return until when a token is valid, in words."""
    if not made.HasField("expire_time"):
        return "for ever"
    return f"until {console.day_and_time(made.expire_time.seconds)}"


def _is_for_any_org(made: token_pb2.TokenRecord) -> bool:
    try:
        return made.kind == "custom" and minting.orgs_left(each.encode() for each in made.caveats) == [ANY]
    except CaveatError:
        return False
