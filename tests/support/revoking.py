"""Bulk revocations over gRPC: their targets, a family of tokens, and which tokens are live."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import access_pb2, token_pb2
from almond.v1 import token_service_pb2 as pb
from support.caveats import record, why
from support.orders import deploy, org_wide, readonly
from support.service import Almond, on
from support.waiting import eventually

AnyToken = pb.MintResponse | pb.AttenuateResponse


def by(minter_of_them: pb.MintResponse, **more: Any) -> dict[str, Any]:
    return {"minted_by": pb.MintedByTarget(token_id=minter_of_them.record.id, **more)}


def subject(name: str, **more: Any) -> dict[str, Any]:
    return {"subject": pb.SubjectTarget(subject=name, **more)}


def app(name: str, org: str, **more: Any) -> dict[str, Any]:
    return {"app": pb.AppTarget(org=org, app=name, **more)}


def org(name: str, **more: Any) -> dict[str, Any]:
    return {"org": pb.OrgTarget(org=name, **more)}


async def expect_live(service: Almond, *tokens: AnyToken) -> None:
    """Check that none of the tokens is revoked, by Verify and by its record alike."""
    assert [await _is_revoked(service, each) for each in tokens] == [False] * len(tokens)


async def expect_revoked(service: Almond, *tokens: AnyToken) -> None:
    """Check that each of the tokens is revoked, by Verify and by its record alike."""
    assert [await _is_revoked(service, each) for each in tokens] == [True] * len(tokens)


async def _is_revoked(service: Almond, token: AnyToken) -> bool:
    kept = token.record if token.HasField("record") else None
    home = "" if kept is None or kept.org == "almond" else kept.org
    is_revoked = "REVOKED" in await why(service, token.token, on(home or "any.org"))
    if kept is not None:
        assert (await record(service, kept.id)).HasField("revoke_time") == is_revoked, kept.id
    return is_revoked


async def next_second(after: token_pb2.TokenRecord) -> Timestamp:
    """Wait for the whole second after the one in which a token was minted; returns that second."""
    start = after.create_time.seconds + 1
    service_time = Timestamp()
    while True:
        service_time.GetCurrentTime()
        if service_time.seconds >= start:
            return Timestamp(seconds=start)
        await asyncio.sleep(0.02)


async def until_expired(service: Almond, token: str, access: access_pb2.Access) -> None:
    await eventually(lambda: why(service, token, access), lambda reasons: "EXPIRED" in reasons, 15)


class Family:
    """A minter, the tokens that descend from it by minting, and one token that does not."""

    minter: pb.MintResponse
    child: pb.MintResponse
    other_child: pb.MintResponse
    grandchild: pb.MintResponse
    great_grandchild: pb.MintResponse
    stranger: pb.MintResponse

    @classmethod
    async def of(cls, service: Almond, org: str) -> Family:
        family = cls()
        family.minter = await service.mint(org_wide(org))
        family.child = await service.mint(org_wide(org), family.minter.token)
        family.other_child = await service.mint(deploy(org=org), family.minter.token)
        family.grandchild = await service.mint(org_wide(org), family.child.token)
        family.great_grandchild = await service.mint(readonly(org), family.grandchild.token)
        family.stranger = await service.mint(deploy(org=org))
        return family

    @property
    def minted(self) -> list[pb.MintResponse]:
        return [self.child, self.other_child, self.grandchild, self.great_grandchild]

    @property
    def minted_ids(self) -> set[str]:
        return {each.record.id for each in self.minted}
