"""The asynchronous client: thin, one method an RPC, generated messages in and out."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc

from almond.v1 import access_pb2, decision_pb2, token_pb2, token_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from almond_client.errors import error_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

R = TypeVar("R")

VERIFY_SECONDS: Final = 1.0
CALL_SECONDS: Final = 5.0

# UNAVAILABLE only: nothing was done, or the request id makes doing it again the same thing.
_RETRIES: Final = {
    "methodConfig": [
        {
            "name": [{"service": "almond.v1.TokenService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS: Final = (
    ("grpc.service_config", json.dumps(_RETRIES)),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


class AsyncClient:
    """Talks to one Almond service. Use it as an async context manager, and share it: it is one channel.

    Every method takes `timeout` in seconds and raises a subclass of `AlmondRpcError`.
    """

    def __init__(self, address: str, token: str | Callable[[], str] | None = None) -> None:
        """Take `host:port` and the caller's own token (or what returns it); None for what needs none."""
        self._token = token
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = token_service_pb2_grpc.TokenServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        """Return itself; the channel connects with the first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel."""
        await self.close()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def is_allowed(
        self, token: str, access: access_pb2.Access, min_revision: str = "", timeout: float = VERIFY_SECONDS
    ) -> bool:
        """Answer whether `token` permits `access` now; raises when nobody can know."""
        request = pb.VerifyRequest(token=token, access=access, min_revision=min_revision)
        response = await self.verify(request, timeout)
        return response.outcome == decision_pb2.OUTCOME_ALLOWED

    async def verify(self, request: pb.VerifyRequest, timeout: float = VERIFY_SECONDS) -> pb.VerifyResponse:
        """Ask for a decision. The response is a message and so always true: look at `outcome`."""
        return await self._call(self._stub.Verify, request, timeout)

    async def batch_verify(
        self, request: pb.BatchVerifyRequest, timeout: float = CALL_SECONDS
    ) -> pb.BatchVerifyResponse:
        """Ask for up to 500 decisions."""
        return await self._call(self._stub.BatchVerify, request, timeout)

    async def mint(self, request: pb.MintRequest, timeout: float = CALL_SECONDS) -> pb.MintResponse:
        """Mint a token; a request id is filled in so that a retry mints nothing twice."""
        return await self._call(self._stub.Mint, _with_id(request), timeout)

    async def attenuate(
        self, request: pb.AttenuateRequest, timeout: float = CALL_SECONDS
    ) -> pb.AttenuateResponse:
        """Narrow a token. `almond_core.minting.attenuate` does the same without a server."""
        return await self._call(self._stub.Attenuate, request, timeout)

    async def revoke(self, request: pb.RevokeRequest, timeout: float = CALL_SECONDS) -> pb.RevokeResponse:
        """Withdraw tokens; when it returns, the revocation is durable. A request id is filled in."""
        return await self._call(self._stub.Revoke, _with_id(request), timeout)

    async def inspect_token(
        self, request: pb.InspectTokenRequest, timeout: float = CALL_SECONDS
    ) -> pb.InspectTokenResponse:
        """Say what a token is."""
        return await self._call(self._stub.InspectToken, request, timeout)

    async def get_token(self, token_id: str, timeout: float = CALL_SECONDS) -> token_pb2.TokenRecord:
        """Return one record."""
        request = pb.GetTokenRequest(token_id=token_id)
        return (await self._call(self._stub.GetToken, request, timeout)).record

    async def list_tokens(
        self, request: pb.ListTokensRequest, timeout: float = CALL_SECONDS
    ) -> pb.ListTokensResponse:
        """Return one page of records."""
        return await self._call(self._stub.ListTokens, request, timeout)

    async def records(self, request: pb.ListTokensRequest) -> AsyncIterator[token_pb2.TokenRecord]:
        """Yield the records of all pages, newest first."""
        page = pb.ListTokensRequest()
        page.CopyFrom(request)
        while True:
            response = await self.list_tokens(page)
            for record in response.records:
                yield record
            if not response.next_page_token:
                return
            page.page_token = response.next_page_token

    async def _call(self, method: Callable[..., Awaitable[R]], request: Any, timeout: float) -> R:
        token = self._token() if callable(self._token) else self._token
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        try:
            return await method(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from None


def _with_id(request: R) -> R:
    if getattr(request, "request_id", None):
        return request
    copy: Any = type(request)()
    copy.CopyFrom(request)
    copy.request_id = str(uuid.uuid4())
    return copy  # type: ignore[no-any-return]
