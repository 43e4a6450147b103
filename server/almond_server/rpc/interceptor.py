"""The one interceptor: bounds what is parsed, turns errors into statuses, and logs what went wrong.

Around every call: raw bytes in, limit, parse, handler, serialise. Reflection needs a caller who may read the
schema.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError

from almond_server.errors import WatcherTooSlowError
from almond_server.rpc.call_of import call_of
from almond_server.rpc.errors import TooLargeError, UnparsableError, fault_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from almond_server.service.call import Call

    Handler = Any  # grpc's types know the handlers of its synchronous servers only
    Context = grpc.aio.ServicerContext[Any, Any]
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]

MAX_REQUEST_BYTES: Final = 64 * 1024
MAX_BATCH_BYTES: Final = 2 * 1024 * 1024
REFLECTION_PREFIX: Final = "/grpc.reflection."

PATIENCE_SECONDS: Final = 10.0
"""How long one message of a stream may wait for its reader: two heartbeats, where they are slowest."""

_TOO_SLOW: Final = "This watcher did not read what it was sent; watch again from the last revision you got."

_LIMITS: Final = {"/almond.v1.TokenService/BatchVerify": MAX_BATCH_BYTES}

log = structlog.get_logger()


class Edge(grpc.aio.ServerInterceptor):
    """Wraps each method's handler once, and remembers it."""

    def __init__(self, may_reflect: Callable[[Call], None]) -> None:
        """Take the check that raises unless an authorization may use reflection."""
        self._may_reflect = may_reflect
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
            return None
        if handler.unary_unary is not None:
            wrapped = _bounded(handler, method)
        elif handler.unary_stream is not None:
            wrapped = _watched(handler, method)
        elif method.startswith(REFLECTION_PREFIX):
            wrapped = _guarded(handler, method, self._may_reflect)
        else:
            return None  # there is no other sort of method, and none gets in unbounded
        self._wrapped[method] = wrapped
        return wrapped


def _bounded(handler: Handler, method: str) -> Handler:
    limit = _LIMITS.get(method, MAX_REQUEST_BYTES)
    parse, answer, serialize = handler.request_deserializer, handler.unary_unary, handler.response_serializer

    async def call(raw: bytes, context: Context) -> bytes:
        try:
            return bytes(serialize(await answer(_parsed(parse, raw, limit), context)))
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as error:  # noqa: BLE001 - the edge of the program: everything becomes a status
            return await _abort(error, method, context)

    return grpc.unary_unary_rpc_method_handler(call)


def _watched(handler: Handler, method: str) -> Handler:
    parse, serialize = handler.request_deserializer, handler.response_serializer

    async def answers(raw: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        try:
            given = handler.unary_stream(_parsed(parse, raw, MAX_REQUEST_BYTES), context)
            async with contextlib.aclosing(given):
                async for answer in given:
                    yield answer if isinstance(answer, bytes) else bytes(serialize(answer))
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            await _abort(error, method, context)

    async def call(raw: bytes, context: Context) -> None:
        # gRPC keeps one message on its way and waits for the reader's window before it is done with it.
        async with contextlib.aclosing(answers(raw, context)) as told:
            async for answer in told:
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await context.write(answer)
                except TimeoutError:
                    # The status waits behind that message. While it does, the handler stays as it is, and the
                    # call in the count of those that can be; keepalive ends it if the peer is dead.
                    await _abort(WatcherTooSlowError(_TOO_SLOW), method, context)

    return grpc.unary_stream_rpc_method_handler(call)


def _guarded(handler: Handler, method: str, may_reflect: Callable[[Call], None]) -> Handler:
    parse, serialize = handler.request_deserializer, handler.response_serializer

    async def parsed(raws: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for raw in raws:
            yield _parsed(parse, raw, MAX_REQUEST_BYTES)

    async def call(raws: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        try:
            may_reflect(call_of(context))
            async for response in handler.stream_stream(parsed(raws), context):
                yield bytes(serialize(response))
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            await _abort(error, method, context)

    return grpc.stream_stream_rpc_method_handler(call)


def _parsed(parse: Callable[[bytes], Any], raw: bytes, limit: int) -> Any:
    if len(raw) > limit:
        raise TooLargeError(f"The request has {len(raw)} bytes; {limit} are allowed.")
    try:
        return parse(raw)
    except DecodeError:
        raise UnparsableError(
            "The bytes are not the message of this method; generate the stubs anew."
        ) from None


async def _abort(error: Exception, method: str, context: Context) -> bytes:
    request_id = secrets.token_hex(8)
    fault = fault_of(error, request_id)
    if fault.code is grpc.StatusCode.INTERNAL:
        # The type and the place only: an unforeseen error's text may hold anything.
        log.error("call.failed", method=method, request_id=request_id, **_place(error))
    await context.abort(fault.code, fault.message, fault.trailers())
    raise AssertionError("abort returns by raising")


def _place(error: Exception) -> dict[str, str]:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return {"error": type(error).__name__, "at": place}
