"""The channel to the service: message sizes, no proxies, and which calls gRPC may repeat by itself."""

from __future__ import annotations

import json
from typing import Final

import grpc

SERVICE: Final = "almond.v1.TokenService"

# Repeating one of these changes nothing: the first five only read, Attenuate keeps nothing, and Mint and
# Revoke carry a request id. A method that is not named here is never repeated.
REPEATABLE: Final = (
    "Verify",
    "BatchVerify",
    "InspectToken",
    "GetToken",
    "ListTokens",
    "Attenuate",
    "Mint",
    "Revoke",
)

# CANCELLED too: a server that shuts down answers so to calls that reach it on the way (grpc #41785). Who
# cancels a call himself hears no more of it. The service's `grpc-retry-pushback-ms` overrides these waits;
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
    # A batch of 500 questions is at most 2 MiB; its answer with explanations is several times that.
    ("grpc.max_send_message_length", 2 * 1024 * 1024),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    # A token must not pass through whatever `http_proxy` happens to name.
    ("grpc.enable_http_proxy", 0),
    # A connection may meet a worker that is just ending, while its siblings take calls. With gRPC's own
    # second of pause (two minutes at last) every retry of a call would be over before the next connection.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.enable_retries", 1),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # The policy above is the client's own, not something to be looked up in DNS.
    ("grpc.service_config_disable_resolution", 1),
)


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Open a channel to `host:port` or `unix:/path`, in the running loop; plain text without `credentials`.

    Connects when the first call is made, and raises nothing until then.
    """
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)
