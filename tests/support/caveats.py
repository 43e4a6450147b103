"""Caveats, Mint requests of every kind, and short forms of the calls that tests make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration

from almond.v1 import access_pb2, caveat_pb2, decision_pb2, kind_pb2, token_pb2
from almond.v1 import token_service_pb2 as pb
from support.orders import deploy, minter, org_wide, readonly, revoker, verifier
from support.service import Almond, bearer, on

Caveat = caveat_pb2.Caveat

ALLOWED, DENIED = decision_pb2.OUTCOME_ALLOWED, decision_pb2.OUTCOME_DENIED
_PREFIX = len("DENIAL_REASON_")


# Caveats.


def of_org(org: str = "acme", mask: str = "*") -> Caveat:
    return Caveat(org=caveat_pb2.OrgCaveat(id=org, mask=mask))


def of_orgs(**masks: str) -> Caveat:
    return Caveat(orgs=caveat_pb2.IdSetCaveat(masks=masks))


def actions(mask: str) -> Caveat:
    return Caveat(action=caveat_pb2.ActionCaveat(mask=mask))


def ids(field: str, **masks: str) -> Caveat:
    """Return a caveat of ids with masks, such as `ids("apps", shop="r")`."""
    return Caveat(**{field: caveat_pb2.IdSetCaveat(masks=masks)})  # type: ignore[arg-type]


def storage(masks: dict[str, str]) -> Caveat:
    return Caveat(storage_objects=caveat_pb2.IdSetCaveat(masks=masks))


def audience(*services: str) -> Caveat:
    return Caveat(audience=caveat_pb2.AudienceCaveat(services=services))


def ip(*cidrs: str) -> Caveat:
    return Caveat(ip=caveat_pb2.IpCaveat(cidrs=cidrs))


def attribute(key: str, *values: str) -> Caveat:
    return Caveat(attribute=caveat_pb2.AttributeCaveat(key=key, values=values))


def source(**named: str) -> Caveat:
    return Caveat(source=access_pb2.Source(**named))


def exact(*argv: str) -> caveat_pb2.CommandPattern:
    return caveat_pb2.CommandPattern(mode=caveat_pb2.CommandPattern.MODE_EXACT, argv=argv)


def prefix(*argv: str) -> caveat_pb2.CommandPattern:
    return caveat_pb2.CommandPattern(mode=caveat_pb2.CommandPattern.MODE_PREFIX, argv=argv)


# Mint requests; more are in tests/support/orders.py.


def ssh(app: str = "shop", org: str = "acme", **more: Any) -> pb.MintRequest:
    return pb.MintRequest(kind=kind_pb2.Kind(ssh=kind_pb2.SshKind(app=app)), org=org, **more)


def machine_exec(
    *commands: caveat_pb2.CommandPattern, app: str = "shop", org: str = "acme", **more: Any
) -> pb.MintRequest:
    kind = kind_pb2.MachineExecKind(app=app, commands=commands)
    return pb.MintRequest(kind=kind_pb2.Kind(machine_exec=kind), org=org, **more)


def litefs(cluster: str = "main", org: str = "acme", **more: Any) -> pb.MintRequest:
    kind = kind_pb2.LitefsCloudKind(cluster=cluster)
    return pb.MintRequest(kind=kind_pb2.Kind(litefs_cloud=kind), org=org, **more)


def wireguard(org: str = "acme", **more: Any) -> pb.MintRequest:
    return pb.MintRequest(kind=kind_pb2.Kind(wireguard=kind_pb2.WireguardKind()), org=org, **more)


def personal(
    user: str = "ann", orgs: Iterable[str] = ("acme",), role: str = "admin", **more: Any
) -> pb.MintRequest:
    kind = kind_pb2.PersonalKind(user=user, orgs=orgs, role=role)
    return pb.MintRequest(kind=kind_pb2.Kind(personal=kind), **more)


def custom(*caveats: Caveat, **more: Any) -> pb.MintRequest:
    return pb.MintRequest(kind=kind_pb2.Kind(custom=kind_pb2.CustomKind(caveats=caveats)), **more)


def every_kind(org: str = "acme", **more: Any) -> dict[str, list[pb.MintRequest]]:
    """Return Mint requests by the name of their kind, for tokens of one org."""
    return {
        "deploy": [deploy(org=org, **more)],
        "ssh": [ssh(org=org, **more)],
        "machine-exec": [machine_exec(org=org, **more)],
        "org": [org_wide(org, **more)],
        "readonly": [readonly(org, **more)],
        "litefs-cloud": [litefs(org=org, **more)],
        "wireguard": [wireguard(org, **more)],
        "personal": [personal(orgs=[org], **more)],
        "service": [each(org=org, **more) for each in (verifier, minter, revoker)],
        "custom": [custom(of_org(org), **more)],
    }


def kind_of(order: pb.MintRequest) -> str:
    """Return the name of a request's kind, for the name of a test."""
    return order.kind.WhichOneof("kind") or "none"


# Accesses and the answers of Verify.


@dataclass(frozen=True)
class Row:
    """An access with the reasons for which it must be denied; none if it must be allowed."""

    access: access_pb2.Access
    reasons: frozenset[str]

    def __str__(self) -> str:
        return f"{spell(self.access)}: {' '.join(sorted(self.reasons)) or 'allowed'}"


def asks(actions: str, *reasons: str, org: str = "acme", command: str | None = None, **named: Any) -> Row:
    """Return a row; the words of `command` are separated by `|`."""
    if command is not None:
        named["command"] = access_pb2.Command(argv=command.split("|"))
    return Row(on(org, actions, **named), frozenset(reasons))


def spell(access: access_pb2.Access) -> str:
    """Return an access as one line, which no other access has."""
    parts = [f"{access.org} {access.actions}"]
    for field, value in access.ListFields():
        if field.name == "command":
            parts.append(f"command={'|'.join(access.command.argv)}")
        elif field.name not in {"org", "actions"}:
            parts.append(f"{field.name}={value}")
    return " ".join(parts)


def reasons_of(answer: pb.VerifyResponse) -> list[str]:
    """Return the reasons of an answer, in order; its outcome must agree."""
    assert answer.outcome == (DENIED if answer.denials else ALLOWED)
    return [decision_pb2.DenialReason.Name(each.reason)[_PREFIX:] for each in answer.denials]


async def why(service: Almond, token: str, access: access_pb2.Access, caller: str | None = None) -> list[str]:
    """Return the reasons for which an access is denied; none if it is allowed."""
    return reasons_of(await service.verify(token, access, caller))


# Other calls.


async def narrowed(service: Almond, token: str, *caveats: Caveat) -> pb.AttenuateResponse:
    """Attenuate a token without registering the result; by a label if no caveat is given."""
    return await service.stub.Attenuate(
        pb.AttenuateRequest(token=token, caveats=caveats or [caveat_pb2.Caveat(label=_LABEL)])
    )


_LABEL = caveat_pb2.LabelCaveat(text="narrowed")


async def registered(
    service: Almond, token: str, *caveats: Caveat, caller: str | None = None, label: str = ""
) -> pb.AttenuateResponse:
    """Attenuate a token and register the result; to reading only if no caveat is given."""
    order = pb.AttenuateRequest(token=token, caveats=caveats or [actions("r")], label=label, register=True)
    return await service.stub.Attenuate(order, metadata=bearer(caller or service.admin))


async def record(service: Almond, record_id: str, caller: str | None = None) -> token_pb2.TokenRecord:
    request = pb.GetTokenRequest(token_id=record_id)
    return (await service.stub.GetToken(request, metadata=bearer(caller or service.admin))).record


async def listed(service: Almond, org: str, **more: Any) -> list[token_pb2.TokenRecord]:
    request = pb.ListTokensRequest(org=org, page_size=1000, **more)
    return list((await service.stub.ListTokens(request, metadata=bearer(service.admin))).records)


def seconds(number: int) -> Duration:
    return Duration(seconds=number)
