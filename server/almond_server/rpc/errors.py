"""The one table from errors to gRPC statuses, with google.rpc details for machines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from almond_core.errors import AlmondError, FieldError, TokenError
from almond_server import errors

if TYPE_CHECKING:
    from google.protobuf.message import Message

DOMAIN: Final = "almond"
_FIXED: Final = "Something went wrong inside the service; it is in its log under this request id: "


class TooLargeError(errors.RefusedError):
    """A message over the limit of its method, refused before it is parsed."""

    reason = "REQUEST_TOO_LARGE"


class UnparsableError(errors.RefusedError):
    """Bytes that are not the message they should be."""

    reason = "REQUEST_UNPARSABLE"


class UnknownServiceError(errors.RefusedError):
    """Nothing of this name has a health here."""

    reason = "SERVICE_UNKNOWN"


_CODES: Final[tuple[tuple[type[AlmondError], grpc.StatusCode], ...]] = (
    (FieldError, grpc.StatusCode.INVALID_ARGUMENT),
    (TokenError, grpc.StatusCode.INVALID_ARGUMENT),
    (UnparsableError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.RequestReusedError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionDeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (errors.MinterRevokedError, grpc.StatusCode.UNAUTHENTICATED),
    (errors.RecordNotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.PolicyNotFoundError, grpc.StatusCode.NOT_FOUND),
    (UnknownServiceError, grpc.StatusCode.NOT_FOUND),
    (errors.TooManyDerivedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.TokenEndedError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.AlreadyRotatedError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.NotRotatedError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.CannotRotateError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.SuccessorDiffersError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.WrongRevisionError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ChangesForgottenError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.MintedTokenEndedError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.WatcherTooSlowError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.TooManyWatchersError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.RateLimitedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooLargeError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.CannotKnowError, grpc.StatusCode.UNAVAILABLE),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as a caller gets to see it."""

    code: grpc.StatusCode
    reason: str
    message: str
    field: str | None = None
    retry_after: float | None = None

    def trailers(self) -> tuple[tuple[str, str | bytes], ...]:
        """Return the trailing metadata: google.rpc.Status, and the pushback that gRPC's retries obey."""
        trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", self._status())]
        if self.retry_after is not None:
            trailers.append(("grpc-retry-pushback-ms", str(math.ceil(self.retry_after * 1000))))
        return tuple(trailers)

    def _status(self) -> bytes:
        details: list[Message] = [error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN)]
        if self.field is not None:
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=self.field, description=self.message
            )
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        if self.retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(math.ceil(self.retry_after * 1000))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        code = code_pb2.Code.Value(self.code.name)
        return status_pb2.Status(code=code, message=self.message, details=packed).SerializeToString()


def fault_of(error: BaseException, request_id: str) -> Fault:
    """Return the status of an error.

    An error that is not in the table is INTERNAL with a fixed text: its own text may hold a secret.
    """
    for kind, code in _CODES:
        if isinstance(error, kind):
            return Fault(code, _reason(error), str(error), _field(error), getattr(error, "retry_after", None))
    return Fault(grpc.StatusCode.INTERNAL, "INTERNAL", f"{_FIXED}{request_id}")


def _reason(error: AlmondError) -> str:
    if isinstance(error, TokenError):
        return f"TOKEN_{error.reason.value}"
    if isinstance(error, errors.RefusedError):
        return error.reason
    return "FIELD_INVALID"


def _field(error: AlmondError) -> str | None:
    if isinstance(error, FieldError):
        return error.field
    return "token" if isinstance(error, TokenError) else None
