"""The errors of calls: one class for each kind of failure, read from the status and its google.rpc details.

A denied token is an answer, never an error. No error contains a token, or anything else that the caller sent.
"""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN: Final = "almond"
DETAILS_KEY: Final = "grpc-status-details-bin"


class AlmondRpcError(Exception):
    """A call that got no answer.

    `code` is the canonical status, and `message` one sentence for a person. `reason` is for programs, and
    empty if the failure did not come from the service itself (a dead connection, a proxy). `field` names the
    request's field at fault, if there is one. `retry_after` is in seconds, None if the service gave none.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.field = field
        self.retry_after = retry_after


class UnauthenticatedError(AlmondRpcError):
    """The caller presented no token, or none that is genuine, unexpired and unrevoked."""


class PermissionDeniedError(AlmondRpcError):
    """The caller's own token does not permit this call."""


class InvalidArgumentError(AlmondRpcError):
    """The request is malformed; `field` names the field at fault."""


class NotFoundError(AlmondRpcError):
    """The record does not exist."""


class FailedPreconditionError(AlmondRpcError):
    """The request cannot succeed in the present state, such as one with a revision of another store."""


class ResourceExhaustedError(AlmondRpcError):
    """The caller made too many calls, or sent a message over its limit."""


class CannotKnowError(AlmondRpcError):
    """The service cannot answer now, or did not in time. This is neither a denial nor a yes."""


class InternalError(AlmondRpcError):
    """The service failed internally; the message contains the request id to find in its log."""


_KINDS: Final[dict[grpc.StatusCode, type[AlmondRpcError]]] = {
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNAVAILABLE: CannotKnowError,
    grpc.StatusCode.DEADLINE_EXCEEDED: CannotKnowError,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.UNKNOWN: InternalError,
    grpc.StatusCode.DATA_LOSS: InternalError,
}


def error_of(failure: grpc.aio.AioRpcError) -> AlmondRpcError:
    """Return the typed error of a failed call, for the caller to raise.

    Details that are missing, unreadable or of another domain leave their attributes empty.
    """
    error = _KINDS.get(failure.code(), AlmondRpcError)(failure.code(), failure.details() or "")
    for key, value in failure.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            _read_details(error, value)
    return error


def _read_details(error: AlmondRpcError, raw: bytes) -> None:
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    try:
        for detail in status_pb2.Status.FromString(raw).details:
            if detail.Unpack(info) and info.domain == DOMAIN:
                error.reason = info.reason
            elif detail.Unpack(request) and request.field_violations:
                error.field = request.field_violations[0].field
            elif detail.Unpack(retry):
                error.retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    except DecodeError:
        return
