"""The asynchronous client: one method for each RPC, which takes and returns messages and raises typed errors.

It decides nothing, and stores nothing between calls but the channel.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

import grpc

from almond.v1 import (
    access_pb2,
    admin_service_pb2,
    admin_service_pb2_grpc,
    caveat_pb2,
    decision_pb2,
    revocation_service_pb2,
    revocation_service_pb2_grpc,
    token_pb2,
    token_service_pb2_grpc,
)
from almond.v1 import token_service_pb2 as pb
from almond_client.channel import open_channel
from almond_client.errors import AlmondRpcError, error_of
from almond_client.watch import Watch
from almond_core import base64url
from almond_core.caveats.label import ID_BYTES

if TYPE_CHECKING:
    from types import TracebackType

CallerToken: TypeAlias = str | Callable[[], str | None] | None

_Repeated = TypeVar("_Repeated", pb.MintRequest, pb.RevokeRequest, pb.RotateTokenRequest)
_Q = TypeVar("_Q")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class _Stubs:
    """The stubs of the three RPC services, made once for a channel."""

    tokens: token_service_pb2_grpc.TokenServiceAsyncStub
    admin: admin_service_pb2_grpc.AdminServiceAsyncStub
    revocations: revocation_service_pb2_grpc.RevocationServiceAsyncStub

    @classmethod
    def of(cls, channel: grpc.aio.Channel) -> _Stubs:
        return cls(
            token_service_pb2_grpc.TokenServiceStub(channel),
            admin_service_pb2_grpc.AdminServiceStub(channel),
            revocation_service_pb2_grpc.RevocationServiceStub(channel),
        )


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Time limits of calls in seconds, retries included: `verify` for Verify, `others` for all other RPCs."""

    verify: float = 1.0
    others: float = 5.0


class AsyncClient:
    """A client of one Almond service, for use as `async with AsyncClient(address, token) as client`.

    `address` is `host:port` or `unix:/path`. `token` is the caller's own token text, or a function that
    returns it, called before each RPC (so that a renewed file is used), or None. The channel is plain text
    without `credentials`, and opened by `async with`.

    Every method takes `timeout_seconds` in place of its default deadline, raises an `AlmondRpcError` if there
    is no answer, and lets `asyncio.CancelledError` pass. Tasks should share one client: it has one channel.
    """

    def __init__(
        self,
        address: str,
        token: CallerToken = None,
        *,
        deadlines: Deadlines | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._address = address
        self._token = token
        self._deadlines = deadlines or Deadlines()
        self._credentials = credentials
        self._channel: grpc.aio.Channel | None = None
        self._open: _Stubs | None = None

    def __repr__(self) -> str:
        return f"AsyncClient({self._address!r})"

    async def __aenter__(self) -> Self:
        self._use(open_channel(self._address, self._credentials))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel and cancel the calls in progress. Closing twice does nothing."""
        channel, self._channel, self._open = self._channel, None, None
        if channel is not None:
            await channel.close()

    async def is_allowed(
        self,
        token: str,
        access: access_pb2.Access,
        *,
        min_revision: str = "",
        timeout_seconds: float | None = None,
    ) -> bool:
        """Return whether `token` permits `access` now: True for ALLOWED, and for nothing else.

        Raises `CannotKnowError` if the service cannot answer. Do not test a response message instead: as a
        condition it is always true.
        """
        request = pb.VerifyRequest(token=token, access=access, min_revision=min_revision)
        response = await self.verify(request, timeout_seconds=timeout_seconds)
        return response.outcome == decision_pb2.OUTCOME_ALLOWED

    async def verify(
        self, request: pb.VerifyRequest, *, timeout_seconds: float | None = None
    ) -> pb.VerifyResponse:
        """Verify a token for one access. A denial is an answer, not an error."""
        timeout = self._deadlines.verify if timeout_seconds is None else timeout_seconds
        return await self._call(self._stubs().tokens.Verify, request, timeout)

    async def batch_verify(
        self, request: pb.BatchVerifyRequest, *, timeout_seconds: float | None = None
    ) -> pb.BatchVerifyResponse:
        """Verify up to 500 requests, answered in order. A result that is an error never means allowed."""
        return await self._call(self._stubs().tokens.BatchVerify, request, timeout_seconds)

    async def mint(self, request: pb.MintRequest, *, timeout_seconds: float | None = None) -> pb.MintResponse:
        """Mint a token. An empty `request_id` is filled in, so that retries mint one token, not two."""
        return await self._call(self._stubs().tokens.Mint, _with_request_id(request), timeout_seconds)

    async def attenuate(
        self, request: pb.AttenuateRequest, *, timeout_seconds: float | None = None
    ) -> pb.AttenuateResponse:
        """Narrow a token. `almond_core.minting.attenuate` does the same without the service.

        If it is to be registered, the label's random id is filled in, so that retries record one token.
        """
        return await self._call(self._stubs().tokens.Attenuate, _with_label_id(request), timeout_seconds)

    async def revoke(
        self, request: pb.RevokeRequest, *, timeout_seconds: float | None = None
    ) -> pb.RevokeResponse:
        """Revoke a token, a branch or a selection of tokens, durably. An empty `request_id` is filled in."""
        return await self._call(self._stubs().tokens.Revoke, _with_request_id(request), timeout_seconds)

    async def rotate_token(
        self, request: pb.RotateTokenRequest, *, timeout_seconds: float | None = None
    ) -> pb.RotateTokenResponse:
        """Mint a successor of a token, which is revoked when the overlap has passed; or take that back.

        An empty `request_id` is filled in, so that retries mint one successor, not two.
        """
        return await self._call(self._stubs().tokens.RotateToken, _with_request_id(request), timeout_seconds)

    async def inspect_token(
        self, request: pb.InspectTokenRequest, *, timeout_seconds: float | None = None
    ) -> pb.InspectTokenResponse:
        """Return what a token contains and, if the caller may read its record, whether it is genuine."""
        return await self._call(self._stubs().tokens.InspectToken, request, timeout_seconds)

    async def get_token(
        self, request: pb.GetTokenRequest, *, timeout_seconds: float | None = None
    ) -> pb.GetTokenResponse:
        """Return the record of one token."""
        return await self._call(self._stubs().tokens.GetToken, request, timeout_seconds)

    async def list_tokens(
        self, request: pb.ListTokensRequest, *, timeout_seconds: float | None = None
    ) -> pb.ListTokensResponse:
        """Return one page of records, newest first."""
        return await self._call(self._stubs().tokens.ListTokens, request, timeout_seconds)

    async def records(
        self, request: pb.ListTokensRequest, *, timeout_seconds: float | None = None
    ) -> AsyncIterator[token_pb2.TokenRecord]:
        """Yield the records of all pages, beginning with `request`; `timeout_seconds` is for each page."""
        page = pb.ListTokensRequest()
        page.CopyFrom(request)
        while True:
            response = await self.list_tokens(page, timeout_seconds=timeout_seconds)
            for record in response.records:
                yield record
            if not response.next_page_token:
                return
            page.page_token = response.next_page_token

    async def set_org_policy(
        self, policy: admin_service_pb2.OrgPolicy, *, timeout_seconds: float | None = None
    ) -> None:
        """Set the default and the maximum lifetime of the tokens of an org and kind."""
        request = admin_service_pb2.SetOrgPolicyRequest(policy=policy)
        await self._call(self._stubs().admin.SetOrgPolicy, request, timeout_seconds)

    async def delete_org_policy(self, org: str, kind: str, *, timeout_seconds: float | None = None) -> None:
        """Delete the policy of an org and kind."""
        request = admin_service_pb2.DeleteOrgPolicyRequest(org=org, kind=kind)
        await self._call(self._stubs().admin.DeleteOrgPolicy, request, timeout_seconds)

    async def list_org_policies(
        self, org: str = "", *, timeout_seconds: float | None = None
    ) -> list[admin_service_pb2.OrgPolicy]:
        """Return the policies of an org, or of all orgs."""
        request = admin_service_pb2.ListOrgPoliciesRequest(org=org)
        response = await self._call(self._stubs().admin.ListOrgPolicies, request, timeout_seconds)
        return list(response.policies)

    def watch(
        self,
        request: revocation_service_pb2.WatchRevocationsRequest,
        *,
        on_break: Callable[[AlmondRpcError], None] | None = None,
    ) -> Watch:
        """Return a watch of revocations, for `async for event in client.watch(request)`. It has no deadline.

        `on_break` is called with the error of each break after which the watch reconnects.
        """

        def open_stream(
            request: revocation_service_pb2.WatchRevocationsRequest,
        ) -> grpc.aio.UnaryStreamCall[
            revocation_service_pb2.WatchRevocationsRequest, revocation_service_pb2.WatchRevocationsResponse
        ]:
            return self._stubs().revocations.WatchRevocations(request, metadata=self._metadata())

        return Watch(open_stream, request, on_break)

    def _use(self, channel: grpc.aio.Channel) -> None:
        self._channel, self._open = channel, _Stubs.of(channel)

    def _stubs(self) -> _Stubs:
        if self._open is None:
            raise RuntimeError("an AsyncClient is open only inside `async with`")
        return self._open

    async def _call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[_Q, _R], request: _Q, timeout_seconds: float | None
    ) -> _R:
        timeout = self._deadlines.others if timeout_seconds is None else timeout_seconds
        try:
            return await method(request, timeout=timeout, metadata=self._metadata())
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from None

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        token = self._token() if callable(self._token) else self._token
        if token is None:
            return ()
        # A token file ends in a newline.
        token = token.strip()
        # gRPC's own error would quote the value that it cannot send, which is a secret.
        if not (token.isascii() and token.isprintable()):
            raise ValueError("the caller's token contains characters that no token has")
        return (("authorization", f"Bearer {token}"),)


def _with_request_id(request: _Repeated) -> _Repeated:
    if request.request_id:
        return request
    filled = type(request)()
    filled.CopyFrom(request)
    filled.request_id = str(uuid.uuid4())
    return filled


def _with_label_id(request: pb.AttenuateRequest) -> pb.AttenuateRequest:
    # Each narrowed token has a label. The service would draw an id for it, in a retry another one.
    filled = pb.AttenuateRequest()
    filled.CopyFrom(request)
    labels = [each.label for each in filled.caveats if each.HasField("label")]
    if request.register and request.caveats and not labels:
        labels = [filled.caveats.add(label=caveat_pb2.LabelCaveat(text=request.label)).label]
    for label in labels:
        label.id = label.id or base64url.encode(secrets.token_bytes(ID_BYTES))
    return filled
