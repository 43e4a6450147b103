"""The RPCs: read the message, ask the service, write the answer. No policy, and no error handling, here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
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
from almond_server.telemetry import metrics
from almond_server.tokens.lookup import DEFAULT_PAGE

if TYPE_CHECKING:
    import grpc

    from almond_server.domain.clock import Clock
    from almond_server.revocation.catch_up import CatchUp
    from almond_server.tokens.attenuate import Attenuator
    from almond_server.tokens.callers import Call
    from almond_server.tokens.lookup import TokenLookup
    from almond_server.tokens.mint import Minter
    from almond_server.tokens.revoke import Revoker
    from almond_server.tokens.verify import Verifier

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_BATCH: Final = 500
_SLICE: Final = 32
_UNAVAILABLE: Final = 14
_MAX_PAGE_TOKEN: Final = 128
_MAX_PAGE_BYTES: Final = 1024 * 1024
"""A page ends early above this: what a record says is its maker's choice."""

_PLACE: Final = re.compile(r'\[([0-9]{1,15}), "([A-Za-z0-9_-]{22}(?:/[A-Za-z0-9_-]{22})?)"\]')


class TokenServicer(token_service_pb2_grpc.TokenServiceServicer):
    """`almond.v1.TokenService`."""

    def __init__(  # noqa: PLR0913, PLR0917 - one parameter a use case, passed once by the composition root
        self,
        verifier: Verifier,
        minter: Minter,
        attenuator: Attenuator,
        revoker: Revoker,
        records: TokenLookup,
        waits: CatchUp,
        clock: Clock,
    ) -> None:
        """Take the use cases."""
        self._verifier = verifier
        self._minter = minter
        self._attenuator = attenuator
        self._revoker = revoker
        self._records = records
        self._waits = waits
        self._clock = clock

    async def Verify(self, request: pb.VerifyRequest, context: Context) -> pb.VerifyResponse:  # noqa: N802
        """Answer one question."""
        if (
            request.min_revision
        ):  # the one thing that a question may wait for, shortly and before it is looked at
            await self._reach(request, self._clock.monotonic())
        return self._verify(request, call_of(context))

    def _verify(self, request: pb.VerifyRequest, caller: Call) -> pb.VerifyResponse:
        access = requests.access_of(request.access)
        answer = self._verifier.verify(caller, request.token, access, request.min_revision)
        response = responses.answer(answer, explain=request.explain)
        count_decision(answer.decision, allowed=response.outcome == decision_pb2.OUTCOME_ALLOWED)
        return response

    async def BatchVerify(  # noqa: N802
        self, request: pb.BatchVerifyRequest, context: Context
    ) -> pb.BatchVerifyResponse:
        """Answer each question by itself; between slices others get their turn."""
        if not 1 <= len(request.requests) <= MAX_BATCH:
            raise FieldError("requests", f"1 to {MAX_BATCH} questions")
        caller = call_of(context)
        self._verifier.authenticate(caller)
        response = pb.BatchVerifyResponse()
        asked_at, nobody_knows = self._clock.monotonic(), False
        for index, each in enumerate(request.requests):
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            result = await self._batch_result(each, caller, None if nobody_knows else asked_at)
            nobody_knows = nobody_knows or result.error.code == _UNAVAILABLE  # who waited once need not again
            response.results.append(result)
        return response

    async def _batch_result(
        self, request: pb.VerifyRequest, caller: Call, asked_at: float | None
    ) -> pb.BatchVerifyResult:
        try:
            if request.min_revision:
                await self._reach(request, asked_at)
            return pb.BatchVerifyResult(response=self._verify(request, caller))
        except AlmondError as error:
            fault = fault_of(error, "")
            count_batch_error(fault.code)
            code: int = fault.code.value[0]
            problem = pb.BatchVerifyError(code=code, reason=fault.reason, message=fault.message)
            return pb.BatchVerifyResult(error=problem)

    async def _reach(self, request: pb.VerifyRequest, asked_at: float | None) -> None:
        revision = Revision.parse("min_revision", request.min_revision)
        if asked_at is not None:
            await self._waits.until_revision(revision, asked_at)

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
        """Narrow a token; no key is needed for it, and a right only to register the result."""
        for caveat in request.caveats:
            if caveat.WhichOneof("caveat") == "label" and not caveat.label.id:
                caveat.label.id = base64url.encode(secrets.token_bytes(ID_BYTES))
        caveats = caveats_of(request.caveats, "caveats")
        if not caveats:
            raise FieldError("caveats", "at least one caveat")
        label = next((each for each in caveats if isinstance(each, Label)), None)
        if label is None:
            label = Label.new(secrets.token_bytes(ID_BYTES), request.label)
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
        revoked = await self._revoker.revoke(call_of(context), order, request_id)
        if revoked.revision is not None:  # else it was only asked what would be done
            metrics.REVOCATIONS.inc(revoked.entries)
        return responses.revoked(revoked)

    async def InspectToken(  # noqa: N802
        self, request: pb.InspectTokenRequest, context: Context
    ) -> pb.InspectTokenResponse:
        """Say what a token is."""
        inspection = await self._records.inspect(call_of(context), request.token)
        return responses.inspection(inspection, len(request.token), self._clock.now_ms())

    async def GetToken(self, request: pb.GetTokenRequest, context: Context) -> pb.GetTokenResponse:  # noqa: N802
        """Return one record."""
        record = await self._records.get(call_of(context), request.token_id)
        return pb.GetTokenResponse(record=responses.record(record))

    async def ListTokens(  # noqa: N802
        self, request: pb.ListTokensRequest, context: Context
    ) -> pb.ListTokensResponse:
        """List records, a page at a time."""
        limit = request.page_size or DEFAULT_PAGE
        app = request.app if request.HasField("app") else None
        after = _page_start(request.page_token)
        records = await self._records.list(call_of(context), request.org, app, request.show_all, limit, after)
        response, size = pb.ListTokensResponse(), 0
        for index, each in enumerate(records):
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            written = responses.record(each)
            size += written.ByteSize()
            response.records.append(written)
            is_last = index == len(records) - 1 and len(records) < limit
            if not is_last and (index == limit - 1 or size > _MAX_PAGE_BYTES):
                response.next_page_token = _page_token(each.created_at_ms, each.id)
                break
        return response


def _fingerprint(request: pb.MintRequest | pb.RevokeRequest) -> bytes:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def _page_token(created_at_ms: int, record_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([created_at_ms, record_id]).encode()).decode()


def _page_start(page_token: str) -> tuple[int, str] | None:
    if not page_token:
        return None
    try:
        # A time and the id of a record, and nothing else: JSON of a caller's own making can be bottomless.
        place = _PLACE.fullmatch(base64.urlsafe_b64decode(page_token[:_MAX_PAGE_TOKEN]).decode())
    except ValueError:
        place = None
    if place is None or _page_token(int(place[1]), place[2]) != page_token:
        raise FieldError("page_token", "the next_page_token of the page before, unchanged")
    return int(place[1]), place[2]
