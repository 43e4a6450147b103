"""The gRPC channel to the service: message limits, no proxies, and the calls gRPC may retry by itself."""

from __future__ import annotations

import json
from typing import Final

import grpc

SERVICE: Final = "almond.v1.TokenService"

# Retrying one of these changes nothing more: the first five only read, Attenuate stores nothing (with
# `register` the client sends the label's random id, so that a retry makes the same token, recorded once), and
# the last three carry a request id. A method that is not listed here is never retried.
REPEATABLE: Final = (
    "Verify",
    "BatchVerify",
    "InspectToken",
    "GetToken",
    "ListTokens",
    "Attenuate",
    "Mint",
    "Revoke",
    "RotateToken",
)

# CANCELLED too: a server that shuts down gives this status to calls that arrive meanwhile (grpc #41785).
# A call that the caller cancels is not retried. The service's `grpc-retry-pushback-ms` overrides these waits;
# the call's own deadline bounds them all.
_RETRIES: Final = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
_SERVICE_CONFIG: Final = {
    "methodConfig": [
        {
            "name": [{"service": SERVICE, "method": method} for method in REPEATABLE],
            "retryPolicy": _RETRIES,
        }
    ]
}

OPTIONS: Final = (
    # A batch of 500 requests is at most 2 MiB; its answer with explanations is several times that.
    ("grpc.max_send_message_length", 2 * 1024 * 1024),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    # Tokens must not pass through a proxy that the variable `http_proxy` happens to name.
    ("grpc.enable_http_proxy", 0),
    # A connection may reach a worker that is shutting down while the others take calls. gRPC's own back-off
    # starts at one second and grows to two minutes: all retries of a call would fail before it reconnects.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.enable_retries", 1),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # The retry policy above is the client's own: none is looked up in DNS.
    ("grpc.service_config_disable_resolution", 1),
)


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Open a channel to `host:port` or `unix:/path`, in the running loop; plain text without `credentials`.

    The channel connects at the first call, and raises nothing before.
    """
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)
