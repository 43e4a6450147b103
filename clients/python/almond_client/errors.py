"""What a call can fail with: one class a case, with what machines and people need to go on."""

from __future__ import annotations

from typing import Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

DOMAIN: Final = "almond"

M = TypeVar("M", bound=Message)


class AlmondRpcError(Exception):
    """A call that failed. Its text is the server's sentence for people; it holds no secret."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep the status code, the machine-readable reason, the field at fault, and seconds to wait."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after = retry_after


class UnauthenticatedError(AlmondRpcError):
    """The caller's own token is missing, not genuine, expired or revoked."""


class PermissionDeniedError(AlmondRpcError):
    """The caller's own token does not permit this call."""


class InvalidArgumentError(AlmondRpcError):
    """The request has no meaning; `field` names what is wrong."""


class NotFoundError(AlmondRpcError):
    """There is no such token."""


class FailedPreconditionError(AlmondRpcError):
    """The revision can never be reached: another store, or from before a restore."""


class ResourceExhaustedError(AlmondRpcError):
    """Too many calls without a caller's token, or too large a request."""


class CannotKnowError(AlmondRpcError):
    """Nobody could answer in time: never a denial, never a yes. Try again."""


class InternalError(AlmondRpcError):
    """The server failed; its log has the request id that the text names."""


_CLASSES: Final = {
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNAVAILABLE: CannotKnowError,
    grpc.StatusCode.DEADLINE_EXCEEDED: CannotKnowError,
}


def error_of(error: grpc.aio.AioRpcError) -> AlmondRpcError:
    """Read a failed call; a code of its own class, anything else `InternalError`."""
    status = _status(error)
    info = _detail(status, error_details_pb2.ErrorInfo())
    request = _detail(status, error_details_pb2.BadRequest())
    retry = _detail(status, error_details_pb2.RetryInfo())
    code = error.code()
    return _CLASSES.get(code, InternalError)(
        code,
        info.reason if info is not None and info.domain == DOMAIN else code.name,
        error.details() or code.name,
        request.field_violations[0].field if request is not None and request.field_violations else None,
        retry.retry_delay.ToMilliseconds() / 1000 if retry is not None else None,
    )


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                return status_pb2.Status()
    return status


def _detail(status: status_pb2.Status, into: M) -> M | None:
    return next((into for each in status.details if each.Unpack(into)), None)
