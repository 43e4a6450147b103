"""The Python client of Almond: `AsyncClient`, its watches, and the errors that it raises."""

from almond_client.client import AsyncClient, Deadlines
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
from almond_client.messages import access_message, caveat_message
from almond_client.watch import Watch

__all__ = [
    "AlmondRpcError",
    "AsyncClient",
    "CannotKnowError",
    "Deadlines",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
    "Watch",
    "access_message",
    "caveat_message",
]
