"""The one interceptor of the server: limits, parses, maps errors to statuses, counts, and logs failures.

Around every call: raw bytes, size limit, parse, handler, serialise. Reflection requires a caller that may
read the schema; only that of the health service, which needs no token either, is open.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any, Final, Literal

import grpc
import structlog
from google.protobuf.message import DecodeError

from almond_server.rpc.call_metadata import call_of
from almond_server.rpc.call_metrics import Meter, count_end_of_watch, count_unknown_method
from almond_server.rpc.errors import TooLargeError, UnparsableError, fault_of
from almond_server.rpc.stream_writer import StreamWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from almond_server.telemetry.traces import Spans
    from almond_server.tokens.callers import Call

    # grpc's types know the handlers of its synchronous servers only.
    Handler = Any
    Context = grpc.aio.ServicerContext[Any, Any]
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]

MAX_REQUEST_BYTES: Final = 64 * 1024
MAX_BATCH_BYTES: Final = 2 * 1024 * 1024
REFLECTION_PREFIX: Final = "/grpc.reflection."

_OPEN_SYMBOLS: Final = "grpc.health.v1."
_WATCH: Final = "/almond.v1.RevocationService/WatchRevocations"
_LIMITS: Final = {"/almond.v1.TokenService/BatchVerify": MAX_BATCH_BYTES}

log = structlog.get_logger()


class Edge(grpc.aio.ServerInterceptor):
    """The interceptor: wraps the handler of each method once, and keeps the wrapped one."""

    def __init__(self, may_reflect: Callable[[Call], None], spans: Spans | None = None) -> None:
        """Call `may_reflect`, which raises unless the caller may use reflection; trace calls by `spans`."""
        self._may_reflect = may_reflect
        self._spans = spans
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the handler of the call, wrapped."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None:
            count_unknown_method()
            return None
        if handler.unary_unary is not None:
            wrapped = _bounded(handler, _Method(method, "unary", self._spans))
        elif handler.unary_stream is not None:
            wrapped = _watched(handler, _Method(method, "server_stream", self._spans))
        elif method.startswith(REFLECTION_PREFIX):
            wrapped = _guarded(handler, _Method(method, "bidi_stream", self._spans), self._may_reflect)
        else:
            # No method of another type exists, and none is served without a limit.
            return None
        self._wrapped[method] = wrapped
        return wrapped


class _Method:
    """The counters and traces of one method."""

    def __init__(self, name: str, kind: str, spans: Spans | None) -> None:
        self.name = name
        self.meter = Meter(name, kind)
        self.spans = spans

    def around(self, context: Context) -> _Around:
        return _Around(self, context)


class _Around:
    """The context of one call: counts it however it ends, and turns what it raises into its status."""

    __slots__ = ("_began", "_context", "_method", "_span")

    def __init__(self, method: _Method, context: Context) -> None:
        self._method = method
        self._context = context
        self._began = method.meter.begin()
        self._span = (
            None if method.spans is None else method.spans.begin(method.name, context.invocation_metadata())
        )

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> Literal[False]:
        if error is None:
            self._end(grpc.StatusCode.OK)
        elif isinstance(error, grpc.aio.AbortError):
            self._end(_code_of(self._context))
        elif isinstance(error, Exception):
            # This is the edge of the program: every error becomes a status.
            await self._abort(error)
        else:
            self._end(_why_cancelled(self._context))
        return False

    async def _abort(self, error: Exception) -> None:
        request_id = secrets.token_hex(8)
        fault = fault_of(error, request_id)
        if fault.code is grpc.StatusCode.INTERNAL:
            # Only its type and where it was raised: the text of an unforeseen error may hold a secret.
            log.error("call.failed", method=self._method.name, request_id=request_id, **_raised_at(error))
            self._end(fault.code, request_id)
        else:
            self._end(fault.code)
        if self._method.name == _WATCH:
            count_end_of_watch(fault.reason)
        await self._context.abort(fault.code, fault.message, fault.trailers())

    def _end(self, code: grpc.StatusCode, request_id: str | None = None) -> None:
        self._method.meter.end(self._began, code)
        if self._span is not None and self._method.spans is not None:
            self._method.spans.end(self._span, code, request_id)


def _bounded(handler: Handler, method: _Method) -> Handler:
    limit = _LIMITS.get(method.name, MAX_REQUEST_BYTES)
    parse, answer, serialize = handler.request_deserializer, handler.unary_unary, handler.response_serializer

    async def call(raw: bytes, context: Context) -> bytes:
        async with method.around(context):
            return bytes(serialize(await answer(_parsed(parse, raw, limit), context)))

    return grpc.unary_unary_rpc_method_handler(call)


def _watched(handler: Handler, method: _Method) -> Handler:
    parse, serialize = handler.request_deserializer, handler.response_serializer

    async def call(raw: bytes, context: Context) -> None:
        # The stream is closed after its error is sent: a watcher that is too slow is counted until then.
        async with contextlib.AsyncExitStack() as stack, method.around(context):
            given = handler.unary_stream(_parsed(parse, raw, MAX_REQUEST_BYTES), context)
            await stack.enter_async_context(contextlib.aclosing(given))
            async with StreamWriter(context) as writer:
                async for answer in given:
                    await writer.send(answer if isinstance(answer, bytes) else bytes(serialize(answer)))

    return grpc.unary_stream_rpc_method_handler(call)


def _guarded(handler: Handler, method: _Method, may_reflect: Callable[[Call], None]) -> Handler:
    parse, serialize = handler.request_deserializer, handler.response_serializer

    async def permitted(raws: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        async for raw in raws:
            request = _parsed(parse, raw, MAX_REQUEST_BYTES)
            if not _is_open(request):
                may_reflect(call_of(context))
            yield request

    async def call(raws: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async with method.around(context):
            async for response in handler.stream_stream(permitted(raws, context), context):
                yield bytes(serialize(response))

    return grpc.stream_stream_rpc_method_handler(call)


def _is_open(request: Any) -> bool:
    """Return whether a request for reflection asks for the schema of the health service only.

    The symbol is empty in a request of another type, as both are in one `oneof`.
    """
    return bool(request.file_containing_symbol.startswith(_OPEN_SYMBOLS))


def _parsed(parse: Callable[[bytes], Any], raw: bytes, limit: int) -> Any:
    if len(raw) > limit:
        raise TooLargeError(f"The request has {len(raw)} bytes; {limit} are allowed.")
    try:
        return parse(raw)
    except DecodeError:
        raise UnparsableError(
            "The bytes are not the message of this method; generate the stubs anew."
        ) from None


def _code_of(context: Context) -> grpc.StatusCode:
    """Return the status that a handler aborted with."""
    given = context.code()
    return next((code for code in grpc.StatusCode if given in {code, code.value[0]}), grpc.StatusCode.UNKNOWN)


def _why_cancelled(context: Context) -> grpc.StatusCode:
    # None without a deadline, although grpc's types do not say so.
    left: Any = context.time_remaining()
    return grpc.StatusCode.DEADLINE_EXCEEDED if left == 0 else grpc.StatusCode.CANCELLED


def _raised_at(error: Exception) -> dict[str, str]:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return {"error": type(error).__name__, "at": at}
