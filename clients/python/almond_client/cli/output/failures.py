"""How commands fail: one line with the problem, perhaps a hint what to do, and an exit code. No tracebacks.

Only this module maps errors to exit codes.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

import typer

from almond_client.cli.exit_codes import CANNOT_KNOW, USAGE
from almond_client.cli.output import console
from almond_client.errors import (
    AlmondRpcError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
)
from almond_core.errors import AlmondError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFUSALS: Final = (
    UnauthenticatedError,
    PermissionDeniedError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
_OPTIONS: Final = {
    "ttl": "--expiry (or --until)",
    "policy.default_ttl": "--default",
    "policy.max_ttl": "--max",
    "overlap": "--overlap",
    "token_id": "ID",
    "request_id": "--request-id",
    "after_revision": "--after",
    "access.attributes.ip": "--ip",
}
"""The command-line option for each field that the service calls by another name."""
_ADDRESS: Final = re.compile(r"^[A-Z_]+: (ipv4|ipv6|unix):\S+: ")
_IDENTIFY: Final = "say who you are with --api-token-file FILE, or put your token into ALMOND_API_TOKEN"


class Failure(Exception):  # noqa: N818 - it ends a command; errors end calls
    """The failure of a command: a `sentence`, a `hint` (may be empty), an `exit_code`, and no secret."""

    def __init__(self, sentence: str, hint: str = "", exit_code: int = USAGE) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.exit_code = exit_code

    @classmethod
    def usage(cls, sentence: str, hint: str = "") -> Self:
        """Return the failure of a command that was called wrongly."""
        return cls(sentence, hint)

    @classmethod
    def unreachable(cls, address: str, error: AlmondRpcError) -> Self:
        """Return the failure of a command whose service did not answer in time, or at all."""
        return cls(
            f"no answer from {address}: {_sentence(error)}",
            "is the service running there? `almond dev` starts one; --address or ALMOND_ADDRESS names one",
            CANNOT_KNOW,
        )

    @classmethod
    def unauthenticated(cls, error: AlmondRpcError, token_source: str) -> Self:
        """Return the failure of the caller's own token, found in `token_source` (empty: there is none)."""
        if not token_source:
            return cls(_sentence(error), _IDENTIFY)
        return cls(_sentence(error), f"your own token came from {token_source}; {_IDENTIFY}")

    @classmethod
    def of(cls, error: AlmondRpcError | AlmondError) -> Self:
        """Return the failure for an error of the service or of the core."""
        if isinstance(error, AlmondError):
            return cls(str(error))
        sentence = _in_options(_sentence(error), error.field)
        return cls(sentence, _hint(error), USAGE if _is_refusal(error) else CANNOT_KNOW)


def _is_refusal(error: AlmondRpcError) -> bool:
    # Anything else may have been done before it failed, or may succeed when it is tried again.
    return isinstance(error, _REFUSALS) or (
        isinstance(error, ResourceExhaustedError) and error.retry_after is None
    )


def _sentence(error: AlmondRpcError) -> str:
    # gRPC's own texts end with the cause, after an address that the user already knows: "failed to connect to
    # all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: ..."
    last = _ADDRESS.sub("", error.message.rpartition("last error: ")[2])
    return last or error.code.name.lower().replace("_", " ")


def _in_options(sentence: str, field: str | None) -> str:
    option = _OPTIONS.get(field or "")
    return sentence if option is None else f"{option}: {sentence.removeprefix(f'{field}: ')}"


def _hint(error: AlmondRpcError) -> str:
    if isinstance(error, UnauthenticatedError):
        return _IDENTIFY
    if isinstance(error, PermissionDeniedError):
        return "`almond tokens inspect -t - < FILE` shows what your own token may do"
    if error.retry_after is not None:
        return f"try again in {error.retry_after:g} s"
    return ""


@contextmanager
def explained() -> Iterator[None]:
    """Report expected errors on standard error, and raise `typer.Exit` with their exit codes."""
    try:
        yield
    except Failure as failure:
        raise _exit(failure) from None
    except (AlmondRpcError, AlmondError) as error:
        raise _exit(Failure.of(error)) from None


def _exit(failure: Failure) -> typer.Exit:
    report(failure)
    return typer.Exit(failure.exit_code)


def report(failure: Failure) -> None:
    """Print a failure on standard error: a line for its sentence, and one for each line of its hint."""
    console.err().print(f"error: {console.clean(failure.sentence)}", style="red")
    for hint in failure.hint.splitlines():
        console.err().print(f"hint: {console.clean(hint)}")
