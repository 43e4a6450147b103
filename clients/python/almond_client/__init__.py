"""Almond's Python client: `AsyncClient`, typed errors, and (with the extra `cli`) the command line."""

from almond_client.client import AsyncClient
from almond_client.errors import (
    AlmondRpcError,
    CannotKnowError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
)

__all__ = [
    "AlmondRpcError",
    "AsyncClient",
    "CannotKnowError",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
]
