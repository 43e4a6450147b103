"""Traces, where they are switched on: one span a call, sent over OTLP/HTTP in the background.

Of a call it learns the method, the status, and the `traceparent` it came with: nothing that could hold a
token, an id, an org or an address. OpenTelemetry is imported when traces are switched on, and not before.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import structlog

from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import grpc
    from opentelemetry.trace import Span

_PATH: Final = "/v1/traces"
_EXPORT_SECONDS: Final = 5.0
_WARN_SECONDS: Final = 60.0
_SERVER_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""The codes that OpenTelemetry's conventions call an error of a server; the others are its callers'."""

log = structlog.get_logger()


class Spans:
    """Begins and ends the spans of calls. What cannot be sent is dropped, and no call waits for it.

    The sampler, the headers for the collector, the name of the service and the size of the queue are those of
    OpenTelemetry's own `OTEL_*` variables.
    """

    def __init__(self, collector: str) -> None:
        """Take the base URL of an OTLP/HTTP collector; raises `StartError` without OpenTelemetry."""
        try:
            # Not at the top: it is an extra, and most servers run without.
            from opentelemetry.context import Context  # noqa: PLC0415
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415
            from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
                TraceContextTextMapPropagator,
            )
        except ImportError:
            raise StartError(
                "ALMOND_TRACES needs OpenTelemetry: pip install '.[traces]' in a clone, or unset it."
            ) from None
        _log_export_warnings()
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "almond"}
        resource = Resource.create(name | {"service.version": version("almond-auth")})
        # Not at exit: a collector that hangs would hold up the end of the process. `close` has its time.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(collector.rstrip("/") + _PATH, timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("almond_server", version("almond-auth"))
        self._extract = TraceContextTextMapPropagator().extract
        self._empty_context, self._kind, self._error = Context(), SpanKind.SERVER, StatusCode.ERROR
        self._attributes: dict[str, dict[str, str]] = {}

    def begin(self, method: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> Span:
        """Begin the span of a call of a method that exists, under the caller's span if it named one."""
        attributes = self._attributes.get(method)
        if attributes is None:
            service, _, name = method.removeprefix("/").rpartition("/")
            attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
            self._attributes[method] = attributes
        parent = next((value for key, value in metadata or () if key == "traceparent"), None)
        # Without `tracestate`: it may hold whatever a caller writes into it, and nothing here reads it.
        context = self._empty_context
        if isinstance(parent, str):
            context = self._extract({"traceparent": parent}, context)
        return self._tracer.start_span(
            method.removeprefix("/"), context, kind=self._kind, attributes=attributes
        )

    def end(self, span: Span, code: grpc.StatusCode, request_id: str | None) -> None:
        """End a span; `request_id` is what the log has of a call that failed by a defect."""
        number: Any = code.value
        span.set_attribute("rpc.grpc.status_code", number[0])
        if request_id is not None:
            span.set_attribute("almond.request_id", request_id)
        if code.name in _SERVER_FAULTS:
            span.set_status(self._error)
        span.end()

    def close(self, seconds: float) -> None:
        """Send what is left, for so long at most. Blocks."""
        closing = threading.Thread(target=self._provider.shutdown, name="almond-traces-close", daemon=True)
        closing.start()
        closing.join(seconds)


class _ThrottledWarnings(logging.Handler):
    """Puts what OpenTelemetry says into this server's log, once a minute: it repeats itself."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logged_at: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if self._logged_at is None or now - self._logged_at >= _WARN_SECONDS:
            self._logged_at = now
            log.warning("traces.unsent", why=record.getMessage().splitlines()[0])


def _log_export_warnings() -> None:
    opentelemetry_log = logging.getLogger("opentelemetry")
    if not any(isinstance(each, _ThrottledWarnings) for each in opentelemetry_log.handlers):
        opentelemetry_log.addHandler(_ThrottledWarnings())
        opentelemetry_log.propagate = False
