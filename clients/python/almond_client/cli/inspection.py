"""`almond tokens inspect`: what a token is, in plain words. Its own text needs no service to be read."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from almond.v1 import token_service_pb2 as pb
from almond_client.cli import options, record, screen, token_text
from almond_client.cli.connection import Connection, connect
from almond_client.cli.failures import Failure, explained
from almond_client.errors import AlmondRpcError
from almond_core import caveats, crypto, minting, wire
from almond_core.errors import CaveatError
from almond_core.model import RESERVED_ORG

if TYPE_CHECKING:
    from almond_core.wire import Token, WireCaveat


def inspect(
    token: options.TokenText,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the service.")] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what a token says of itself, and, if the service tells you, whether that is true.

    Example: almond tokens inspect -t - < web.token
    """
    with explained():
        text = token_text.read(token)
        claims = wire.decode(text)
        connection = None if offline else connect(address, api_token_file)
    answer, note = (None, "") if connection is None else _told(connection, text)
    said = _said(claims, len(text))
    if as_json:
        screen.print_json({**said, "service": None if answer is None else _told_json(answer), "note": note})
    else:
        _print(said, claims, answer, note)


def _told(connection: Connection, text: str) -> tuple[pb.InspectTokenResponse | None, str]:
    try:
        request = pb.InspectTokenRequest(token=text)
        return connection.ask(lambda client: client.inspect_token(request)), ""
    except Failure as failure:
        return None, failure.sentence
    except AlmondRpcError as error:
        return None, Failure.of(error).sentence


def _said(token: Token, characters: int) -> dict[str, Any]:
    identity = token.unverified_identity
    first_party = [caveat.raw for caveat in token.unverified_caveats if caveat.body is not None]
    end = minting.expires_at(first_party)
    branch_id = base64.urlsafe_b64encode(crypto.branch_id(token.signature)).decode().rstrip("=")
    return {
        "id": identity.token_id,
        "key": identity.key_id,
        "kind": identity.kind,
        "org": identity.home_org,
        "subject": identity.subject,
        "issued_at": screen.moment(identity.issued_at_ms / 1000),
        "expires_at": None if end is None else screen.moment(end),
        "characters": characters,
        "branch_id": branch_id,
        "caveats": [_shown(caveat) for caveat in token.unverified_caveats],
    }


def _shown(caveat: WireCaveat) -> dict[str, str]:
    return {"caveat": caveat.raw.decode("utf-8", "backslashreplace"), "meaning": _meaning(caveat)}


def _meaning(caveat: WireCaveat) -> str:
    if caveat.body is None:
        return "a third-party caveat: denies, because nothing can discharge it yet"
    try:
        return caveats.parse(caveat.body).describe()
    except CaveatError as error:
        return f"denies everything: {error}"


def _told_json(answer: pb.InspectTokenResponse) -> dict[str, Any]:
    there = answer.HasField("record")
    return {
        "genuine": _GENUINE.get(answer.genuineness),
        "revoked": answer.revoked if answer.HasField("revoked") else None,
        "record": record.as_json(answer.record, time.time()) if there else None,
    }


_GENUINE = {pb.GENUINENESS_GENUINE: True, pb.GENUINENESS_NOT_GENUINE: False}


def _print(said: dict[str, Any], token: Token, answer: pb.InspectTokenResponse | None, note: str) -> None:
    identity = token.unverified_identity
    org = {"": "several", RESERVED_ORG: "any"}.get(identity.home_org, identity.home_org)
    _section("What the token says of itself")
    _line("id", identity.token_id)
    _line("kind", identity.kind)
    _line("org", org)
    _line("subject", identity.subject or "-")
    _line("issued", screen.day_and_time(identity.issued_at_ms / 1000))
    _line("expires", _expiry(token))
    _line("key", identity.key_id)
    _line("branch", said["branch_id"])
    _line("size", f"{said['characters']} characters")
    _section("What it permits: all of these together")
    for number, caveat in enumerate(said["caveats"], start=1):
        _line(str(number), caveat["meaning"])
    if answer is not None:
        _print_told(answer)
    elif note:
        screen.err().print(f"Nobody has checked whether this is true: {screen.clean(note)}", style="yellow")


def _expiry(token: Token) -> str:
    end = minting.expires_at(caveat.raw for caveat in token.unverified_caveats if caveat.body is not None)
    if end is None:
        return "never"
    return f"{screen.day_and_time(end)}{' (it is over)' if end <= time.time() else ''}"


def _print_told(answer: pb.InspectTokenResponse) -> None:
    _section("What the service says")
    genuine = _GENUINE.get(answer.genuineness)
    if genuine is None:
        _line("genuine", "not told: your own token may not read records here")
        return
    _line("genuine", "yes" if genuine else "NO: not made here, or changed since")
    if answer.HasField("revoked"):
        _line("revoked", "YES" if answer.revoked else "no")
    if answer.HasField("record"):
        _line("name", answer.record.name)
        _line("minted by", answer.record.minter_token_id or "the operator")
        if answer.record.revoke_reason:
            _line("reason", answer.record.revoke_reason)


def _section(title: str) -> None:
    screen.out().print(title, style="bold")


def _line(name: str, value: str) -> None:
    screen.out().print(f"  {name:<10} {screen.clean(value)}")
