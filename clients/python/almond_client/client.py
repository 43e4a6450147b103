"""`AsyncClient`: the RPCs of the service as methods, messages in and messages out, typed errors.

Decides nothing, and keeps nothing between calls but the channel.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

import grpc

from almond.v1 import (
    access_pb2,
    admin_service_pb2,
    admin_service_pb2_grpc,
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

if TYPE_CHECKING:
    from types import TracebackType

CallerToken: TypeAlias = str | Callable[[], str | None] | None

_Repeated = TypeVar("_Repeated", pb.MintRequest, pb.RevokeRequest)
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
    """How long calls may take, retries included, in seconds. `verify` is for Verify alone."""

    verify: float = 1.0
    others: float = 5.0


class AsyncClient:
    """A client of one Almond service, for use as `async with AsyncClient(address, token) as client`.

    `address` is `host:port` or `unix:/path`; `token` the caller's own token text, or a function that returns
    it, asked before each call (so that a renewed file is picked up), or None. Every method takes
    `timeout_seconds` in place of its default deadline, raises an `AlmondRpcError` when there is no answer,
    and lets `asyncio.CancelledError` pass. Share one among tasks: it is one channel.
    """

    def __init__(
        self,
        address: str,
        token: CallerToken = None,
        *,
        deadlines: Deadlines | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Keep the settings; nothing is opened before `async with`. Plain text without `credentials`."""
        self._address = address
        self._token = token
        self._deadlines = deadlines or Deadlines()
        self._credentials = credentials
        self._channel: grpc.aio.Channel | None = None
        self._stubs: _Stubs | None = None

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
        """Close the channel; calls under way are cancelled. Closing twice does nothing."""
        channel, self._channel, self._stubs = self._channel, None, None
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

        (A response message is always truthy: never test one.) Raises when nobody can know.
        """
        request = pb.VerifyRequest(token=token, access=access, min_revision=min_revision)
        response = await self.verify(request, timeout_seconds=timeout_seconds)
        return response.outcome == decision_pb2.OUTCOME_ALLOWED

    async def verify(
        self, request: pb.VerifyRequest, *, timeout_seconds: float | None = None
    ) -> pb.VerifyResponse:
        """Answer one question; a denial is an answer."""
        timeout = self._deadlines.verify if timeout_seconds is None else timeout_seconds
        return await self._call(self._require_open().tokens.Verify, request, timeout)

    async def batch_verify(
        self, request: pb.BatchVerifyRequest, *, timeout_seconds: float | None = None
    ) -> pb.BatchVerifyResponse:
        """Answer up to 500 questions, in order. A result that is an error never means allowed."""
        return await self._call(self._require_open().tokens.BatchVerify, request, timeout_seconds)

    async def mint(self, request: pb.MintRequest, *, timeout_seconds: float | None = None) -> pb.MintResponse:
        """Make a token. An empty `request_id` is filled in, so that retries make one token, not two."""
        return await self._call(self._require_open().tokens.Mint, _with_request_id(request), timeout_seconds)

    async def attenuate(
        self, request: pb.AttenuateRequest, *, timeout_seconds: float | None = None
    ) -> pb.AttenuateResponse:
        """Narrow a token. `almond_core.minting.attenuate` does the same without the service."""
        return await self._call(self._require_open().tokens.Attenuate, request, timeout_seconds)

    async def revoke(
        self, request: pb.RevokeRequest, *, timeout_seconds: float | None = None
    ) -> pb.RevokeResponse:
        """Revoke a token or a branch, durably. An empty `request_id` is filled in."""
        return await self._call(
            self._require_open().tokens.Revoke, _with_request_id(request), timeout_seconds
        )

    async def inspect_token(
        self, request: pb.InspectTokenRequest, *, timeout_seconds: float | None = None
    ) -> pb.InspectTokenResponse:
        """Say what a token is."""
        return await self._call(self._require_open().tokens.InspectToken, request, timeout_seconds)

    async def get_token(
        self, request: pb.GetTokenRequest, *, timeout_seconds: float | None = None
    ) -> pb.GetTokenResponse:
        """Return one record."""
        return await self._call(self._require_open().tokens.GetToken, request, timeout_seconds)

    async def list_tokens(
        self, request: pb.ListTokensRequest, *, timeout_seconds: float | None = None
    ) -> pb.ListTokensResponse:
        """Return one page of records, newest first."""
        return await self._call(self._require_open().tokens.ListTokens, request, timeout_seconds)

    async def records(
        self, request: pb.ListTokensRequest, *, timeout_seconds: float | None = None
    ) -> AsyncIterator[token_pb2.TokenRecord]:
        """Yield the records of all pages from `request` on; `timeout_seconds` is for each page."""
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
        """Set how long tokens of an org and kind may live."""
        request = admin_service_pb2.SetOrgPolicyRequest(policy=policy)
        await self._call(self._require_open().admin.SetOrgPolicy, request, timeout_seconds)

    async def delete_org_policy(self, org: str, kind: str, *, timeout_seconds: float | None = None) -> None:
        """Take back what was set for an org and kind."""
        request = admin_service_pb2.DeleteOrgPolicyRequest(org=org, kind=kind)
        await self._call(self._require_open().admin.DeleteOrgPolicy, request, timeout_seconds)

    async def list_org_policies(
        self, org: str = "", *, timeout_seconds: float | None = None
    ) -> list[admin_service_pb2.OrgPolicy]:
        """Return what is set for an org, or for all."""
        request = admin_service_pb2.ListOrgPoliciesRequest(org=org)
        response = await self._call(self._require_open().admin.ListOrgPolicies, request, timeout_seconds)
        return list(response.policies)

    def watch(
        self,
        request: revocation_service_pb2.WatchRevocationsRequest,
        *,
        on_break: Callable[[AlmondRpcError], None] | None = None,
    ) -> Watch:
        """Watch what is revoked: `async for event in client.watch(request)`. It has no deadline.

        `on_break` hears of each break that it will go on after.
        """

        def open_stream(
            request: revocation_service_pb2.WatchRevocationsRequest,
        ) -> grpc.aio.UnaryStreamCall[
            revocation_service_pb2.WatchRevocationsRequest, revocation_service_pb2.WatchRevocationsResponse
        ]:
            return self._require_open().revocations.WatchRevocations(request, metadata=self._metadata())

        return Watch(open_stream, request, on_break)

    def _use(self, channel: grpc.aio.Channel) -> None:
        self._channel, self._stubs = channel, _Stubs.of(channel)

    def _require_open(self) -> _Stubs:
        if self._stubs is None:
            raise RuntimeError("an AsyncClient is open only inside `async with`")
        return self._stubs

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
        token = token.strip()  # a file ends in a newline
        # gRPC would quote an unsendable value, which is a secret, in its own error.
        if not (token.isascii() and token.isprintable()):
            raise ValueError("the caller's token holds characters that no token has")
        return (("authorization", f"Bearer {token}"),)


def _with_request_id(request: _Repeated) -> _Repeated:
    if request.request_id:
        return request
    filled = type(request)()
    filled.CopyFrom(request)
    filled.request_id = str(uuid.uuid4())
    return filled
