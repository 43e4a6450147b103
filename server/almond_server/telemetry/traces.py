"""Traces: one OpenTelemetry span for each call, sent to an OTLP/HTTP collector in the background.

Off unless configured; only then is OpenTelemetry imported. A span holds the method, the status and the
caller's `traceparent`: nothing that could be a token, an id, an org or an address, and no `tracestate`.
OpenTelemetry's own instrumentation of gRPC records addresses, so it is not used.
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
"""The codes that OpenTelemetry's conventions count as errors of the server; the others are the callers'."""

log = structlog.get_logger()


class Spans:
    """Begins and ends the spans of calls. Spans that cannot be sent are dropped, and no call waits for them.

    OpenTelemetry's own `OTEL_*` variables set the sampler, the headers for the collector, the name of the
    service and the size of the queue.
    """

    def __init__(self, collector: str) -> None:
        """`collector` is the base URL of a collector. Raises `StartError` without OpenTelemetry."""
        try:
            # Imported here: OpenTelemetry is an optional extra, and most servers run without it.
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
                "ALMOND_TRACES needs OpenTelemetry: run `pip install '.[traces]'` in a clone, or unset it."
            ) from None
        _log_export_warnings()
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "almond"}
        resource = Resource.create(name | {"service.version": version("almond-auth")})
        # No shutdown at exit: a collector that hangs would delay it. `close` has a time limit.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(collector.rstrip("/") + _PATH, timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("almond_server", version("almond-auth"))
        self._extract = TraceContextTextMapPropagator().extract
        self._empty_context, self._kind, self._error = Context(), SpanKind.SERVER, StatusCode.ERROR
        self._attributes: dict[str, dict[str, str]] = {}

    def begin(self, method: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> Span:
        """Begin the span of a call of an existing method, under the caller's `traceparent` if it has one."""
        attributes = self._attributes.get(method)
        if attributes is None:
            service, _, name = method.removeprefix("/").rpartition("/")
            attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
            self._attributes[method] = attributes
        parent = next((value for key, value in metadata or () if key == "traceparent"), None)
        # `tracestate` is left out: a caller may write anything into it, and nothing here reads it.
        context = self._empty_context
        if isinstance(parent, str):
            context = self._extract({"traceparent": parent}, context)
        return self._tracer.start_span(
            method.removeprefix("/"), context, kind=self._kind, attributes=attributes
        )

    def end(self, span: Span, code: grpc.StatusCode, request_id: str | None) -> None:
        """End a span. A call that failed by a defect is in the log under its `request_id`."""
        number: Any = code.value
        span.set_attribute("rpc.grpc.status_code", number[0])
        if request_id is not None:
            span.set_attribute("almond.request_id", request_id)
        if code.name in _SERVER_FAULTS:
            span.set_status(self._error)
        span.end()

    def close(self, seconds: float) -> None:
        """Send the remaining spans; blocks for at most `seconds`."""
        closing = threading.Thread(target=self._provider.shutdown, name="almond-traces-close", daemon=True)
        closing.start()
        closing.join(seconds)


class _ThrottledWarnings(logging.Handler):
    """Copies OpenTelemetry's warnings into the server's log, one a minute at most, as they repeat."""

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
