"""Tokens and error details for the client's tests, made without a service."""

import secrets

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from almond_core import crypto, minting
from almond_core.caveats import Caveat, encode
from almond_core.kinds import Deploy
from almond_core.model import Identity, token_id_at

NOW_MS = 1_700_000_000_000
PRK = crypto.extract(bytes(32))


class OneKey:
    """A key ring of the one key that `mint` uses."""

    def prk(self, key_id: str) -> bytes | None:
        return PRK if key_id == "k1" else None


def mint(*more: Caveat, now_ms: int = NOW_MS) -> str:
    """Return a deploy token for the app web of acme, narrowed by `more`."""
    identity = Identity("k1", token_id_at(now_ms, secrets.token_bytes(10)), "deploy", "acme", "")
    caveats = [*Deploy("web").caveats("acme"), *more]
    return minting.mint(PRK, identity, [encode(each) for each in caveats]).text


def details(
    reason: str = "", *, domain: str = "almond", field: str = "", retry_after_ms: int | None = None
) -> bytes:
    """Return a serialised google.rpc.Status, as the service puts it into the trailers."""
    parts: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=domain)]
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field)
        parts.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry_after_ms is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(retry_after_ms)
        parts.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = [any_pb2.Any() for _ in parts]
    for into, part in zip(packed, parts, strict=True):
        into.Pack(part)
    return status_pb2.Status(details=packed).SerializeToString()
