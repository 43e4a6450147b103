"""Mint requests of the kinds that most tests use."""

from __future__ import annotations

from typing import Any

from almond.v1 import kind_pb2
from almond.v1 import token_service_pb2 as pb


def deploy(app: str = "shop", org: str = "acme", **more: Any) -> pb.MintRequest:
    return pb.MintRequest(kind=kind_pb2.Kind(deploy=kind_pb2.DeployKind(app=app)), org=org, **more)


def org_wide(org: str = "acme", **more: Any) -> pb.MintRequest:
    return pb.MintRequest(kind=kind_pb2.Kind(org=kind_pb2.OrgKind()), org=org, **more)


def readonly(org: str = "acme", **more: Any) -> pb.MintRequest:
    return pb.MintRequest(kind=kind_pb2.Kind(readonly=kind_pb2.ReadonlyKind()), org=org, **more)


def verifier(org: str = "acme", name: str = "gate", **more: Any) -> pb.MintRequest:
    return _service(kind_pb2.ServiceKind(name=name, verify=kind_pb2.VerifyRole()), org, **more)


def revoker(org: str = "acme", name: str = "sweeper", **more: Any) -> pb.MintRequest:
    return _service(kind_pb2.ServiceKind(name=name, revoke=kind_pb2.RevokeRole()), org, **more)


def minter(app: str | None = None, org: str = "acme", name: str = "ci", **more: Any) -> pb.MintRequest:
    return _service(kind_pb2.ServiceKind(name=name, mint=kind_pb2.MintRole(app=app)), org, **more)


def _service(kind: kind_pb2.ServiceKind, org: str, **more: Any) -> pb.MintRequest:
    return pb.MintRequest(kind=kind_pb2.Kind(service=kind), org=org, **more)
