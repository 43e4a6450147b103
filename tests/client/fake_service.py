"""A fake TokenService on a loopback port: a test sets its answers, and it records its calls.

It runs in threads, not in the tests' event loop: the command line opens an event loop of its own, and
grpc.aio does not support several in one process.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc

from almond.v1 import token_service_pb2 as pb
from almond.v1 import token_service_pb2_grpc

METHODS = (
    "Mint",
    "Attenuate",
    "Verify",
    "BatchVerify",
    "Revoke",
    "RotateToken",
    "InspectToken",
    "GetToken",
    "ListTokens",
)
HEALTH = "/grpc.health.v1.Health/Check"


@dataclass
class Call:
    """One call as it arrived."""

    method: str
    request: Any
    metadata: dict[str, Any]


Answer = Callable[[Any, grpc.ServicerContext], Any]


def fails(
    code: grpc.StatusCode, message: str = "", *, details: bytes = b"", pushback_ms: int | None = None
) -> Answer:
    """Return an answer that is an error."""

    def answer(request: Any, context: grpc.ServicerContext) -> NoReturn:
        trailers: list[tuple[str, str | bytes]] = []
        if details:
            trailers.append(("grpc-status-details-bin", details))
        if pushback_ms is not None:
            trailers.append(("grpc-retry-pushback-ms", str(pushback_ms)))
        context.set_trailing_metadata(tuple(trailers))
        context.abort(code, message)
        raise AssertionError

    return answer


def gives(*responses: Any) -> Answer:
    """Return an answer that gives the responses in order, and repeats the last; callables are called."""
    left = list(responses)

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        response = left.pop(0) if len(left) > 1 else left[0]
        return response(request, context) if callable(response) else response

    return answer


@dataclass
class FakeService:
    """The fake service: the calls that it got, and the answers that it gives."""

    address: str = ""
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    health: bytes = b"\x08\x01"

    @property
    def methods(self) -> list[str]:
        return [call.method for call in self.calls]

    def handle(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls.append(Call(method, request, dict(context.invocation_metadata())))
        if method in self.answers:
            return self.answers[method](request, context)
        return getattr(pb, f"{method}Response")()


def _servicer(service: FakeService) -> token_service_pb2_grpc.TokenServiceServicer:
    def method_of(name: str) -> Callable[[Any, Any, Any], Any]:
        return lambda _, request, context: service.handle(name, request, context)

    methods = {name: method_of(name) for name in METHODS}
    base = token_service_pb2_grpc.TokenServiceServicer
    made: token_service_pb2_grpc.TokenServiceServicer = type("Servicer", (base,), methods)()
    return made


@contextmanager
def serving() -> Iterator[FakeService]:
    """Serve on a free port of the loopback until the end of the block."""
    service = FakeService()
    server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
    token_service_pb2_grpc.add_TokenServiceServicer_to_server(_servicer(service), server)
    check: Any = grpc.unary_unary_rpc_method_handler(lambda _, __: service.health)
    package, _, method = HEALTH.strip("/").partition("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(package, {method: check}),))
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield service
    finally:
        server.stop(None).wait()
