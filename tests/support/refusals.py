"""Errors of the service as a client receives them: status, ErrorInfo and the other details."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True)
class Refusal:
    """A failed call: its status, its message, and what its details say."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    field: str | None = None
    retry_ms: int | None = None
    pushback_ms: int | None = None


async def refusal(call: Awaitable[Any]) -> Refusal:
    """Await a call that must fail; returns its error."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)
    raise AssertionError(f"the call was not refused; it answered {answer!r}")


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Return the code, the details and the trailers of an error."""
    trailers = dict(tuple(error.trailing_metadata()))
    status = status_pb2.Status.FromString(bytes(trailers.get("grpc-status-details-bin", b"")))
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    unpacked = {
        type(message): True
        for detail in status.details
        for message in (info, bad, retry)
        if detail.Unpack(message)
    }
    pushback = trailers.get("grpc-retry-pushback-ms")
    return Refusal(
        error.code(),
        error.details() or "",
        info.reason,
        info.domain,
        bad.field_violations[0].field if type(bad) in unpacked else None,
        retry.retry_delay.ToMilliseconds() if type(retry) in unpacked else None,
        int(pushback) if pushback is not None else None,
    )
