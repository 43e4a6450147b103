"""Serves `almond.v1.AdminService`: the settings of orgs that operators change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almond.v1 import admin_service_pb2 as pb
from almond.v1 import admin_service_pb2_grpc
from almond_server.rpc import requests, responses
from almond_server.rpc.call_metadata import call_of

if TYPE_CHECKING:
    import grpc

    from almond_server.tokens.expiry_policy import Policy

    Context = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """`almond.v1.AdminService`."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def SetOrgPolicy(  # noqa: N802
        self, request: pb.SetOrgPolicyRequest, context: Context
    ) -> pb.SetOrgPolicyResponse:
        """Set an expiry rule."""
        await self._policy.put(call_of(context), requests.rule_of(request.policy))
        return pb.SetOrgPolicyResponse()

    async def DeleteOrgPolicy(  # noqa: N802
        self, request: pb.DeleteOrgPolicyRequest, context: Context
    ) -> pb.DeleteOrgPolicyResponse:
        """Delete an expiry rule."""
        await self._policy.delete(call_of(context), request.org, request.kind)
        return pb.DeleteOrgPolicyResponse()

    async def ListOrgPolicies(  # noqa: N802
        self, request: pb.ListOrgPoliciesRequest, context: Context
    ) -> pb.ListOrgPoliciesResponse:
        """List expiry rules."""
        rules = await self._policy.rules(call_of(context), request.org)
        return pb.ListOrgPoliciesResponse(policies=[responses.policy(each) for each in rules])
