"""From messages to what the service understands. Raises `FieldError` that names the field, as sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almond_core import caveats, kinds
from almond_core.caveats import Caveat
from almond_core.errors import CaveatError, FieldError
from almond_core.masks import parse_actions
from almond_core.model import Access, Source
from almond_server.service.minter import MintOrder
from almond_server.service.revoker import Branch, Possession, Target, WholeToken, branch_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.timestamp_pb2 import Timestamp

    from almond.v1 import access_pb2, caveat_pb2, kind_pb2, token_service_pb2
    from almond_core.canonical import Json

MAX_REQUEST_ID = 64

_ACCESS_FIELDS = (
    "app",
    "machine",
    "volume",
    "feature",
    "app_feature",
    "machine_feature",
    "cluster",
    "mutation",
    "storage_object",
)


def access_of(message: access_pb2.Access) -> Access:
    """Read an access; every `FieldError` names its field below `access`."""
    present = {field.name for field, _ in message.ListFields()}
    given = {name: getattr(message, name) for name in _ACCESS_FIELDS if name in present}
    try:
        return Access(
            org=message.org,
            actions=parse_actions(message.actions),
            command=tuple(message.command.argv) if message.HasField("command") else None,
            source=_source_of(message.source) if message.HasField("source") else None,
            attributes=dict(message.attributes),
            **given,
        )
    except FieldError as error:
        raise FieldError(f"access.{error.field}", error.sentence) from None


def _source_of(message: access_pb2.Source) -> Source:
    given = {name: getattr(message, name) for name in ("org", "app", "machine") if message.HasField(name)}
    return Source(**given)


def order_of(message: token_service_pb2.MintRequest) -> MintOrder:
    """Read what to mint."""
    ttl = kinds.DEFAULT_TTL_SECONDS
    if message.HasField("ttl"):
        if message.ttl.nanos:
            raise FieldError("ttl", "whole seconds")
        ttl = message.ttl.seconds
    return MintOrder(_kind_of(message.kind), message.org, message.name, ttl)


def _kind_of(message: kind_pb2.Kind) -> kinds.Kind:
    match message.WhichOneof("kind"):
        case "deploy":
            return kinds.Deploy(message.deploy.app)
        case "org":
            return kinds.OrgWide()
        case "readonly":
            return kinds.Readonly()
        case "service":
            return kinds.Service(message.service.name, _role_of(message.service))
        case "custom":
            return kinds.Custom(tuple(caveats_of(message.custom.caveats, "kind.custom.caveats")))
        case _:
            raise FieldError("kind", "one of deploy, org, readonly, service, custom")


def _role_of(message: kind_pb2.ServiceKind) -> kinds.VerifyRole | kinds.MintRole | kinds.RevokeRole:
    match message.WhichOneof("role"):
        case "verify":
            return kinds.VerifyRole()
        case "mint":
            return kinds.MintRole(message.mint.app if message.mint.HasField("app") else None)
        case "revoke":
            return kinds.RevokeRole()
        case _:
            raise FieldError("kind.service.role", "one of verify, mint, revoke")


def caveats_of(messages: Iterable[caveat_pb2.Caveat], field: str) -> list[Caveat]:
    """Read caveats to write; a caveat without meaning is refused here, naming which."""
    read: list[Caveat] = []
    for index, message in enumerate(messages):
        try:
            caveat = caveats.parse(_body_of(message))
            caveats.encode(caveat)
        except CaveatError as error:
            raise FieldError(f"{field}[{index}]", str(error)) from None
        read.append(caveat)
    return read


def _body_of(message: caveat_pb2.Caveat) -> list[Json]:
    name = message.WhichOneof("caveat")
    match name:
        case "org":
            return [name, message.org.id, message.org.mask]
        case "orgs" | "apps" | "features" | "app_features" | "storage_objects":
            return [name, dict(getattr(message, name).masks)]
        case "action":
            return [name, message.action.mask]
        case "valid":
            valid = message.valid
            start = _seconds(valid.not_before) if valid.HasField("not_before") else None
            return [name, start, _seconds(valid.not_after) if valid.HasField("not_after") else None]
        case "if_present":
            inner = message.if_present
            return [name, [_body_of(each) for each in inner.caveats], inner.mask]
        case "label":
            return [name, message.label.id, message.label.text]
        case _:
            raise CaveatError("caveat", "set one of its arms")


def _seconds(time: Timestamp) -> int:
    if time.nanos:
        raise CaveatError("valid", "whole seconds")
    return time.seconds


def target_of(message: token_service_pb2.RevokeRequest) -> Target:
    """Read what to withdraw."""
    match message.WhichOneof("target"):
        case "token_id":
            return WholeToken(message.token_id)
        case "branch":
            return Branch(message.branch.token_id, branch_id_of(message.branch.branch_id))
        case "token":
            return Possession(message.token)
        case _:
            raise FieldError("target", "one of token_id, branch, token")


def request_of(request_id: str, fingerprint: bytes) -> tuple[str, bytes] | None:
    """Read a request id, with the fingerprint of the content it came with."""
    if not request_id:
        return None
    if len(request_id) > MAX_REQUEST_ID or not request_id.isascii() or not request_id.isprintable():
        raise FieldError("request_id", f"at most {MAX_REQUEST_ID} printable ASCII characters")
    return request_id, fingerprint
