"""Errors of calls: the class of each status, and the details that are read from the trailers."""

import grpc
import pytest

from almond.v1 import token_service_pb2 as pb
from almond_client import (
    AlmondRpcError,
    AsyncClient,
    CannotKnowError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
)
from client.fake_service import FakeService, fails
from client.samples import details

KINDS = {
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
    grpc.StatusCode.UNIMPLEMENTED: AlmondRpcError,
    grpc.StatusCode.ABORTED: AlmondRpcError,
    grpc.StatusCode.CANCELLED: AlmondRpcError,
}


async def _error(service: FakeService, code: grpc.StatusCode, raw: bytes = b"") -> AlmondRpcError:
    service.answers["Verify"] = fails(code, "what a person reads", details=raw, pushback_ms=-1)
    async with AsyncClient(service.address, "alm1_mine") as client:
        with pytest.raises(AlmondRpcError) as raised:
            await client.verify(pb.VerifyRequest(token="alm1_theirs"))
    return raised.value


@pytest.mark.parametrize(("code", "kind"), KINDS.items(), ids=lambda each: getattr(each, "name", ""))
async def test_each_status_has_its_class(
    service: FakeService, code: grpc.StatusCode, kind: type[AlmondRpcError]
) -> None:
    error = await _error(service, code)
    assert type(error) is kind
    assert error.code is code
    assert str(error) == error.message == "what a person reads"


async def test_the_details_are_read(service: FakeService) -> None:
    raw = details("FIELD_INVALID", field="access.app", retry_after_ms=1500)
    error = await _error(service, grpc.StatusCode.INVALID_ARGUMENT, raw)
    assert (error.reason, error.field, error.retry_after) == ("FIELD_INVALID", "access.app", 1.5)


async def test_without_details_there_is_no_reason(service: FakeService) -> None:
    error = await _error(service, grpc.StatusCode.INVALID_ARGUMENT)
    assert (error.reason, error.field, error.retry_after) == ("", None, None)


async def test_another_domains_reason_is_not_ours(service: FakeService) -> None:
    error = await _error(service, grpc.StatusCode.UNAVAILABLE, details("QUOTA", domain="proxy.example"))
    assert error.reason == ""


async def test_unreadable_details_do_not_hide_the_error(service: FakeService) -> None:
    error = await _error(service, grpc.StatusCode.PERMISSION_DENIED, b"\xff\xff\xff")
    assert type(error) is PermissionDeniedError
    assert error.reason == ""


async def test_no_error_repeats_a_token(service: FakeService) -> None:
    error = await _error(service, grpc.StatusCode.INTERNAL, details("INTERNAL"))
    shown = repr(error) + str(error) + repr(vars(error))
    assert "alm1_" not in shown
    assert error.__cause__ is None
