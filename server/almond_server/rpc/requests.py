"""Reads request messages into values of the service. Raises `FieldError` that names the field as sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from almond_core import kinds
from almond_core.caveats import Pattern
from almond_core.caveats.valid import END_OF_TIME
from almond_core.errors import CaveatError, FieldError
from almond_core.masks import parse_actions
from almond_core.model import Access, Source, checked_id, token_id_bytes
from almond_server.domain.records import branch_id_of
from almond_server.domain.revision import Revision
from almond_server.domain.selections import MintedBy, OfApp, OfOrg, OfSubject, RecordFilter, Selection
from almond_server.domain.stores import ExpiryRule
from almond_server.rpc.caveats import caveats_of, pattern_of
from almond_server.tokens.bulk_revoke import BulkRevokeOrder
from almond_server.tokens.mint import MAX_NAME, MintOrder
from almond_server.tokens.revoke import Branch, Possession, RevokeOrder, Target, WholeToken
from almond_server.tokens.rotate import RotateOrder

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    from almond.v1 import access_pb2, admin_service_pb2, kind_pb2, token_service_pb2

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
    ttl = _duration("ttl", message.ttl) if message.HasField("ttl") else None
    return MintOrder(_kind_of(message.kind), message.org, message.name, ttl)


def _duration(field: str, message: Duration) -> int:
    if message.nanos:
        raise FieldError(field, "whole seconds")
    return message.seconds


def _kind_of(message: kind_pb2.Kind) -> kinds.Kind:
    name = message.WhichOneof("kind")
    if name is None:
        raise FieldError("kind", f"one of {', '.join(_KINDS)}")
    return _KINDS[name](getattr(message, name))


def _machine_exec_of(message: kind_pb2.MachineExecKind) -> kinds.MachineExec:
    try:
        patterns = [Pattern(*pattern_of(each)) for each in message.commands]
    except CaveatError as error:
        raise FieldError("kind.machine_exec.commands", error.sentence) from None
    return kinds.MachineExec(message.app, tuple(patterns))


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


_KINDS: Final[dict[str, Callable[[Any], kinds.Kind]]] = {
    "deploy": lambda its: kinds.Deploy(its.app),
    "ssh": lambda its: kinds.Ssh(its.app),
    "machine_exec": _machine_exec_of,
    "org": lambda _: kinds.OrgWide(),
    "readonly": lambda _: kinds.Readonly(),
    "litefs_cloud": lambda its: kinds.LitefsCloud(its.cluster),
    "wireguard": lambda _: kinds.Wireguard(),
    "personal": lambda its: kinds.Personal(its.user, tuple(its.orgs), its.role),
    "service": lambda its: kinds.Service(its.name, _role_of(its)),
    "custom": lambda its: kinds.Custom(tuple(caveats_of(its.caveats, "kind.custom.caveats"))),
}


def revoke_order_of(message: token_service_pb2.RevokeRequest) -> RevokeOrder | BulkRevokeOrder:
    """Read what to revoke."""
    target = _target_of(message)
    if isinstance(target, Selection):
        return BulkRevokeOrder(target, message.reason, message.validate_only)
    return RevokeOrder(target, message.reason, message.validate_only)


def _target_of(message: token_service_pb2.RevokeRequest) -> Target | Selection:
    match message.WhichOneof("target"):
        case "token_id":
            return WholeToken(message.token_id)
        case "branch":
            its = message.branch
            _check_token_id("branch.token_id", its.token_id)
            return Branch(its.token_id, branch_id_of("branch.branch_id", its.branch_id))
        case "token":
            return Possession(message.token)
        case "minted_by":
            by = message.minted_by
            _check_token_id("minted_by.token_id", by.token_id)
            branch_id = branch_id_of("minted_by.branch_id", by.branch_id) if by.branch_id else None
            return Selection(MintedBy(by.token_id, branch_id), _before("minted_by", by))
        case "subject":
            subject = checked_id("subject.subject", message.subject.subject)
            return Selection(OfSubject(subject), _before("subject", message.subject))
        case "app":
            org, app = checked_id("app.org", message.app.org), checked_id("app.app", message.app.app)
            return Selection(OfApp(org, app), _before("app", message.app))
        case "org":
            return Selection(OfOrg(checked_id("org.org", message.org.org)), _before("org", message.org))
        case _:
            arms = message.DESCRIPTOR.oneofs_by_name["target"].fields
            raise FieldError("target", f"one of {', '.join(arm.name for arm in arms)}")


def _check_token_id(field: str, token_id: str) -> None:
    try:
        token_id_bytes(token_id)
    except FieldError as error:
        raise FieldError(field, error.sentence) from None


def _before(
    arm: str,
    message: token_service_pb2.MintedByTarget
    | token_service_pb2.SubjectTarget
    | token_service_pb2.AppTarget
    | token_service_pb2.OrgTarget,
) -> int | None:
    if not message.HasField("issued_before"):
        return None
    return _seconds(f"{arm}.issued_before", message.issued_before) * 1000


def filter_of(message: token_service_pb2.ListTokensRequest) -> RecordFilter:
    """Read what else the records to list must be."""
    if message.kind not in kinds.NAMES | {""}:
        raise FieldError("kind", f"one of {', '.join(sorted(kinds.NAMES))}")
    if len(message.name) > MAX_NAME or not message.name.isprintable():
        raise FieldError("name", f"at most {MAX_NAME} printable characters")
    if message.subject:
        checked_id("subject", message.subject)
    if message.minted_by:
        _check_token_id("minted_by", message.minted_by)
    expires_before = unused_since = None
    if message.HasField("expires_before"):
        expires_before = _seconds("expires_before", message.expires_before)
    if message.HasField("unused_since"):
        unused_since = _seconds("unused_since", message.unused_since)
    return RecordFilter(
        message.kind, message.name, message.subject, message.minted_by, expires_before, unused_since
    )


def _seconds(field: str, time: Timestamp) -> int:
    if time.nanos or not 0 <= time.seconds < END_OF_TIME:
        raise FieldError(field, "whole seconds since 1970, before the year 10000")
    return time.seconds


def rotate_order_of(message: token_service_pb2.RotateTokenRequest) -> RotateOrder | None:
    """Read how to rotate a token; None if its rotation is to be taken back."""
    if message.take_back:
        if message.HasField("overlap"):
            raise FieldError("overlap", "leave it out with take_back")
        return None
    return RotateOrder(message.token_id, _duration("overlap", message.overlap))


def rule_of(message: admin_service_pb2.OrgPolicy) -> ExpiryRule:
    """Read an expiry rule."""
    default = (
        _duration("policy.default_ttl", message.default_ttl) if message.HasField("default_ttl") else None
    )
    maximum = _duration("policy.max_ttl", message.max_ttl) if message.HasField("max_ttl") else None
    return ExpiryRule(message.org, message.kind, default, maximum)


def request_of(request_id: str, fingerprint: bytes) -> tuple[str, bytes] | None:
    """Read a request id, with the fingerprint of the content it came with."""
    if not request_id:
        return None
    if len(request_id) > MAX_REQUEST_ID or not request_id.isascii() or not request_id.isprintable():
        raise FieldError("request_id", f"at most {MAX_REQUEST_ID} printable ASCII characters")
    return request_id, fingerprint


def min_revision_of(message: token_service_pb2.VerifyRequest) -> Revision | None:
    """Read the revision that an answer must rest on at least; None if the request names none."""
    return Revision.parse("min_revision", message.min_revision) if message.min_revision else None
