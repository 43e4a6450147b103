"""Builds the gRPC server: options, services, health, reflection. Its address is chosen elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha import reflection_pb2 as reflection_messages
from grpc_reflection.v1alpha.reflection import aio as reflection_aio

from almond.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    revocation_service_pb2,
    revocation_service_pb2_grpc,
    token_service_pb2_grpc,
)
from almond_server.rpc.health import SERVICE
from almond_server.rpc.interceptor import MAX_BATCH_BYTES, Edge

if TYPE_CHECKING:
    from collections.abc import Callable

    from almond_server.rpc.admin_servicer import AdminServicer
    from almond_server.rpc.health import Health
    from almond_server.rpc.revocation_servicer import RevocationServicer
    from almond_server.rpc.token_servicer import TokenServicer
    from almond_server.telemetry.traces import Spans
    from almond_server.tokens.callers import Call

ADMIN_SERVICE: Final = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name
REVOCATION_SERVICE: Final = revocation_service_pb2.DESCRIPTOR.services_by_name["RevocationService"].full_name
REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_BATCH_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    # No compression: gRPC inflates before it checks the limit, so a kilobyte could become a gigabyte.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # A peer that stopped, or is cut off, acknowledges no ping: its streams end within half a minute.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # By default gRPC sends only two pings while no data flows, as to a watcher that does not read.
    ("grpc.http2.max_pings_without_data", 0),
)


def build(  # noqa: PLR0913 - one parameter a service, passed once by the composition root
    servicer: TokenServicer,
    admin: AdminServicer,
    revocations: RevocationServicer,
    health: Health,
    may_reflect: Callable[[Call], None],
    spans: Spans | None = None,
    *,
    shares_port: bool = False,
) -> grpc.aio.Server:
    """Build the server, not started and without a port, which it may share if `shares_port`."""
    # Off for a lone server: by gRPC's default a second one would silently get half of the connections.
    options = (*_OPTIONS, ("grpc.so_reuseport", int(shares_port)))
    server = grpc.aio.server(interceptors=[Edge(may_reflect, spans)], options=options)
    token_service_pb2_grpc.add_TokenServiceServicer_to_server(servicer, server)
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, server)
    revocation_service_pb2_grpc.add_RevocationServiceServicer_to_server(revocations, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = (
        SERVICE,
        ADMIN_SERVICE,
        REVOCATION_SERVICE,
        "grpc.health.v1.Health",
        reflection.SERVICE_NAME,
        REFLECTION_V1,
    )
    reflection.enable_server_reflection(names, server)
    server.add_generic_rpc_handlers((_reflection_v1(names),))
    return server


def _reflection_v1(names: tuple[str, ...]) -> grpc.GenericRpcHandler:
    # The package serves v1alpha only; v1's messages are the same on the wire.
    servicer = reflection_aio.ReflectionServicer(names)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_messages.ServerReflectionRequest.FromString,
        reflection_messages.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(REFLECTION_V1, {"ServerReflectionInfo": handler})
