"""Serves `almond.v1.TokenService`: reads the message, calls the use case, writes the answer.

No policy and no error handling: the use cases raise, the interceptor maps errors to statuses.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Final

from almond.v1 import decision_pb2, token_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from almond_core import base64url, minting
from almond_core.caveats import Label
from almond_core.caveats.label import ID_BYTES
from almond_core.errors import AlmondError, FieldError
from almond_server.domain.revision import Revision
from almond_server.rpc import requests, responses
from almond_server.rpc.call_metadata import call_of
from almond_server.rpc.call_metrics import count_batch_error, count_decision
from almond_server.rpc.caveats import caveats_of
from almond_server.rpc.errors import fault_of
from almond_server.rpc.paging import MAX_PAGE_BYTES, page_start, page_token
from almond_server.telemetry import metrics
from almond_server.tokens.bulk_revoke import BulkRevokeOrder
from almond_server.tokens.lookup import DEFAULT_PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

    from almond_core.caveats import Caveat
    from almond_server.domain.clock import Clock
    from almond_server.revocation.catch_up import CatchUp
    from almond_server.tokens.attenuate import Attenuator
    from almond_server.tokens.bulk_revoke import BulkRevoker
    from almond_server.tokens.callers import Call
    from almond_server.tokens.lookup import TokenLookup
    from almond_server.tokens.mint import Minter
    from almond_server.tokens.revoke import Revoker
    from almond_server.tokens.rotate import Rotator
    from almond_server.tokens.verify import Verifier

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_BATCH: Final = 500
_SLICE: Final = 32
_UNAVAILABLE: Final = 14


class TokenServicer(token_service_pb2_grpc.TokenServiceServicer):
    """`almond.v1.TokenService`."""

    def __init__(  # noqa: PLR0913, PLR0917 - one parameter a use case, passed once by the composition root
        self,
        verifier: Verifier,
        minter: Minter,
        attenuator: Attenuator,
        revoker: Revoker,
        bulk_revoker: BulkRevoker,
        rotator: Rotator,
        lookup: TokenLookup,
        waits: CatchUp,
        clock: Clock,
    ) -> None:
        self._verifier = verifier
        self._minter = minter
        self._attenuator = attenuator
        self._revoker = revoker
        self._bulk_revoker = bulk_revoker
        self._rotator = rotator
        self._lookup = lookup
        self._waits = waits
        self._clock = clock

    async def Verify(self, request: pb.VerifyRequest, context: Context) -> pb.VerifyResponse:  # noqa: N802
        """Answer one question."""
        min_revision = requests.min_revision_of(request)
        # Before the caller is known, since a token may ask about itself: the wait is short, and one for all.
        if min_revision is not None:
            await self._waits.until_revision(min_revision, self._clock.monotonic())
        return self._verify(request, min_revision, call_of(context))

    def _verify(
        self, request: pb.VerifyRequest, min_revision: Revision | None, call: Call
    ) -> pb.VerifyResponse:
        access = requests.access_of(request.access)
        answer = self._verifier.verify(call, request.token, access, min_revision)
        response = responses.answer(answer, explain=request.explain)
        count_decision(answer.decision, allowed=response.outcome == decision_pb2.OUTCOME_ALLOWED)
        return response

    async def BatchVerify(  # noqa: N802
        self, request: pb.BatchVerifyRequest, context: Context
    ) -> pb.BatchVerifyResponse:
        """Answer each question by itself; the loop serves other calls between slices of questions."""
        if not 1 <= len(request.requests) <= MAX_BATCH:
            raise FieldError("requests", f"1 to {MAX_BATCH} questions")
        call = call_of(context)
        self._verifier.authenticate(call)
        response = pb.BatchVerifyResponse()
        asked_at, may_wait = self._clock.monotonic(), True
        for index, each in enumerate(request.requests):
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            result = await self._batch_result(each, call, asked_at if may_wait else None)
            # After one question has waited in vain, the others of the batch do not wait again.
            may_wait = may_wait and result.error.code != _UNAVAILABLE
            response.results.append(result)
        return response

    async def _batch_result(
        self, request: pb.VerifyRequest, call: Call, asked_at: float | None
    ) -> pb.BatchVerifyResult:
        try:
            min_revision = requests.min_revision_of(request)
            if min_revision is not None and asked_at is not None:
                await self._waits.until_revision(min_revision, asked_at)
            return pb.BatchVerifyResult(response=self._verify(request, min_revision, call))
        except AlmondError as error:
            fault = fault_of(error, "")
            count_batch_error(fault.code)
            code: int = fault.code.value[0]
            problem = pb.BatchVerifyError(code=code, reason=fault.reason, message=fault.message)
            return pb.BatchVerifyResult(error=problem)

    async def Mint(self, request: pb.MintRequest, context: Context) -> pb.MintResponse:  # noqa: N802
        """Mint a token."""
        order = requests.order_of(request)
        request_id = requests.request_of(request.request_id, _fingerprint(request))
        minted = await self._minter.mint(call_of(context), order, request_id)
        metrics.TOKENS_MINTED.inc()
        return pb.MintResponse(
            token=minted.text,
            record=responses.record(minted.record),
            branch_id=responses.branch(minted.branch_id),
        )

    async def Attenuate(  # noqa: N802
        self, request: pb.AttenuateRequest, context: Context
    ) -> pb.AttenuateResponse:
        """Narrow a token. This needs no key, and a permission only to register the result."""
        caveats, label = _narrowing(request)
        if not request.register:
            narrowed = minting.attenuate(request.token, caveats, label)
            return pb.AttenuateResponse(token=narrowed.text, branch_id=responses.branch(narrowed.branch_id))
        registered = await self._attenuator.register(call_of(context), request.token, caveats, label)
        return pb.AttenuateResponse(
            token=registered.token.text,
            branch_id=responses.branch(registered.token.branch_id),
            record=responses.record(registered.record),
        )

    async def Revoke(self, request: pb.RevokeRequest, context: Context) -> pb.RevokeResponse:  # noqa: N802
        """Revoke tokens."""
        order = requests.revoke_order_of(request)
        request_id = requests.request_of(request.request_id, _fingerprint(request))
        call = call_of(context)
        if isinstance(order, BulkRevokeOrder):
            revoked = await self._bulk_revoker.revoke(call, order, request_id)
        else:
            revoked = await self._revoker.revoke(call, order, request_id)
        if not order.validate_only:
            metrics.REVOCATIONS.inc(revoked.entries)
        return responses.revoked(revoked)

    async def RotateToken(  # noqa: N802
        self, request: pb.RotateTokenRequest, context: Context
    ) -> pb.RotateTokenResponse:
        """Rotate a token, or take its rotation back."""
        order = requests.rotate_order_of(request)
        request_id = requests.request_of(request.request_id, _fingerprint(request))
        call = call_of(context)
        if order is None:
            return responses.rotated(await self._rotator.take_back(call, request.token_id, request_id))
        rotated = await self._rotator.rotate(call, order, request_id)
        metrics.TOKENS_MINTED.inc()
        return responses.rotated(rotated)

    async def InspectToken(  # noqa: N802
        self, request: pb.InspectTokenRequest, context: Context
    ) -> pb.InspectTokenResponse:
        """Return what a token is."""
        inspection = await self._lookup.inspect(call_of(context), request.token)
        return responses.inspection(inspection, len(request.token), self._clock.now_ms())

    async def GetToken(self, request: pb.GetTokenRequest, context: Context) -> pb.GetTokenResponse:  # noqa: N802
        """Return one record."""
        record = await self._lookup.get(call_of(context), request.token_id)
        return pb.GetTokenResponse(record=responses.record(record))

    async def ListTokens(  # noqa: N802
        self, request: pb.ListTokensRequest, context: Context
    ) -> pb.ListTokensResponse:
        """List records, a page at a time."""
        limit = request.page_size or DEFAULT_PAGE
        app = request.app if request.HasField("app") else None
        after, wanted = page_start(request), requests.filter_of(request)
        page = await self._lookup.list(
            call_of(context), request.org, app, request.show_all, limit, after, wanted
        )
        response, size, following = pb.ListTokensResponse(), 0, page.next
        for index, each in enumerate(page.records):
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            written = responses.record(each)
            size += written.ByteSize()
            response.records.append(written)
            if size > MAX_PAGE_BYTES and index < len(page.records) - 1:
                following = each.position
                break
        if following is not None:
            response.next_page_token = page_token(following, request)
        return response


def _fingerprint(request: pb.MintRequest | pb.RevokeRequest | pb.RotateTokenRequest) -> bytes:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def _narrowing(request: pb.AttenuateRequest) -> tuple[Sequence[Caveat], Label]:
    """Read what to narrow by: at least one caveat, and the label, made here if the request has none."""
    for caveat in request.caveats:
        if caveat.WhichOneof("caveat") == "label" and not caveat.label.id:
            caveat.label.id = base64url.encode(secrets.token_bytes(ID_BYTES))
    caveats = caveats_of(request.caveats, "caveats")
    if not caveats:
        raise FieldError("caveats", "at least one caveat")
    label = next((each for each in caveats if isinstance(each, Label)), None)
    return caveats, label or Label.new(secrets.token_bytes(ID_BYTES), request.label)
