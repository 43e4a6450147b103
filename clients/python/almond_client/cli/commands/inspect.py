"""`almond tokens inspect`: describe a token in plain words. Reading its text needs no service."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments import options, token_text
from almond_client.cli.connection import Connection, connect
from almond_client.cli.output import console, inspection_view, record_view
from almond_client.cli.output.failures import Failure, explained
from almond_client.errors import AlmondRpcError
from almond_client.review import Permission, Review, adds_nothing, meaning, org_text, review, step
from almond_core import base64url, minting, wire
from almond_core.masks import spell

if TYPE_CHECKING:
    from almond_core.wire import Token


def inspect(
    token: options.TokenText,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the service.")] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Describe in plain words what a token may do and, if the service answers, whether it is genuine."""
    with explained():
        text = token_text.read(token)
        decoded = wire.decode(text)
        connection = None if offline else connect(address, api_token_file)
    answer, note = (None, "") if connection is None else _ask_service(connection, text)
    reviewed = review(decoded.unverified_caveats, int(time.time()))
    claims = _claims(decoded, reviewed, len(text))
    if as_json:
        console.print_json(
            {**claims, "service": None if answer is None else _answer_json(answer), "note": note}
        )
    else:
        inspection_view.show(claims, reviewed.permissions, answer, note)


def _ask_service(connection: Connection, text: str) -> tuple[pb.InspectTokenResponse | None, str]:
    try:
        request = pb.InspectTokenRequest(token=text)
        return connection.call(lambda client: client.inspect_token(request)), ""
    except Failure as failure:
        return None, failure.sentence
    except AlmondRpcError as error:
        return None, Failure.of(error).sentence


def _claims(token: Token, reviewed: Review, characters: int) -> dict[str, Any]:
    identity, given, now = token.unverified_identity, token.unverified_caveats, int(time.time())
    end = minting.expires_at(caveat.raw for caveat in given if caveat.body is not None)
    return {
        "id": identity.token_id,
        "key": identity.key_id,
        "kind": identity.kind,
        "org": identity.home_org,
        "subject": identity.subject,
        "issued_at": console.rfc3339(identity.issued_at_ms / 1000),
        "expires_at": None if end is None else console.rfc3339(end),
        "expired": end is not None and end <= now,
        "characters": characters,
        "branch_id": base64url.encode(minting.own_branch_id(token)),
        "may": None if reviewed.permissions is None else list(map(_permission_json, reviewed.permissions)),
        "conditions": list(reviewed.conditions),
        "contradictions": [each.sentence(step) for each in reviewed.contradictions],
        "warnings": [*reviewed.warnings, *filter(None, [adds_nothing(reviewed.redundant)])],
        "caveats": [
            {"caveat": each.raw.decode("utf-8", "backslashreplace"), "meaning": meaning(each)}
            for each in given
        ],
    }


def _permission_json(permission: Permission) -> dict[str, Any]:
    first, *others = [spell(mask) for mask in permission.masks] or [""]
    org = org_text(None) if permission.org is None else permission.org
    shown: dict[str, Any] = {"org": org, "thing": permission.target, "actions": first}
    # One request may ask for `actions`, or for those of one alternative, and cannot mix them.
    return shown | ({"or_actions": others} if others else {})


def _answer_json(answer: pb.InspectTokenResponse) -> dict[str, Any]:
    return {
        "genuine": inspection_view.GENUINE.get(answer.genuineness),
        "revoked": answer.revoked if answer.HasField("revoked") else None,
        "branch_ids": list(answer.facts.branch_ids),
        "record": record_view.as_json(answer.record, time.time()) if answer.HasField("record") else None,
    }
