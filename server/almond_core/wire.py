"""Encodes and decodes tokens: the strict libmacaroons v2 form inside `alm1_..._checksum`.

Checks lengths, alphabets and the order of fields, and knows no keys. A token has exactly one
spelling, except for the locations of third-party caveats, which the chain does not cover. The form is
specified in protos/FORMAT.md, "Text form" and "Binary form".
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NoReturn

from almond_core import base64url, canonical
from almond_core.errors import Reason, TokenError
from almond_core.model import Identity

PREFIX: Final = "alm1_"
LOCATION: Final = b"almond"
MAX_TEXT: Final = 16 * 1024
MAX_CALLER_TEXT: Final = 4 * 1024
MAX_CAVEATS: Final = 64
MAX_COMMAS: Final = 512
SIGNATURE_BYTES: Final = 32

_VERSION: Final = 2
_END, _LOCATION, _IDENTIFIER, _VERIFICATION, _SIGNATURE = 0, 1, 2, 4, 6
_CHECKSUM_LENGTH: Final = 6
_MAX_REMEMBERED: Final = 512
_SHORTEST: Final = len(PREFIX) + 1 + _CHECKSUM_LENGTH
_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class WireCaveat:
    """One caveat as received. `body` is its JSON, or None if it is third-party: it has a verification id."""

    raw: bytes
    body: tuple[canonical.Json, ...] | None
    location: bytes | None = None
    verification_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A well-formed token. It is not verified: every field is a claim."""

    unverified_identity: Identity
    unverified_caveats: tuple[WireCaveat, ...]
    identifier: bytes
    signature: bytes = field(repr=False)


def decode(text: str, max_text: int = MAX_TEXT) -> Token:
    """Decode the text of one token.

    Raises `TokenError` (missing, foreign, too large, truncated, malformed), and nothing else. Takes well
    under a millisecond of CPU for any text.
    """
    return _decode_binary(_decode_text(text, max_text))


def encode(binary: bytes) -> str:
    """Encode a token's bytes as text: `alm1_`, base64url without padding, `_`, checksum."""
    body = PREFIX + base64url.encode(binary)
    return f"{body}_{_checksum(body)}"


def binary_of(text: str) -> bytes:
    """Return the libmacaroons v2 bytes of a token's text; raises `TokenError` as `decode` does."""
    binary = _decode_text(text, MAX_TEXT)
    _decode_binary(binary)
    return binary


def _decode_text(text: str, max_text: int) -> bytes:
    if not text:
        raise TokenError(Reason.MISSING, "There is no token; send one that begins with alm1_.")
    if not text.startswith(PREFIX):
        raise TokenError(Reason.FOREIGN, "This is not an Almond token: those begin with alm1_.")
    if len(text) > max_text:
        raise TokenError(Reason.TOO_LARGE, f"The token is longer than {max_text} characters.")
    body, mark, checksum = text[:-7], text[-7:-6], text[-6:]
    if len(text) < _SHORTEST or mark != "_" or checksum != _checksum(body):
        raise TokenError(
            Reason.TRUNCATED,
            "The token was cut off or mistyped on its way (its checksum does not fit); copy it again, whole.",
        )
    payload = body[len(PREFIX) :]
    if _ALPHABET.fullmatch(payload) is None or len(payload) % 4 == 1:
        _malformed("its text is not base64url")
    try:
        return base64url.decode(payload)
    except ValueError:
        _malformed("its text has spare bits")


def _decode_binary(data: bytes) -> Token:
    if data[:1] != bytes([_VERSION]):
        _malformed("it is not a macaroon in the libmacaroons v2 form")
    location, at = _field(data, 1, _LOCATION)
    if location != LOCATION:
        _malformed("its location is not almond")
    identifier, at = _field(data, at, _IDENTIFIER)
    at = _end(data, at)
    sections: list[tuple[bytes, bytes | None, bytes | None]] = []
    while data[at : at + 1] != bytes([_END]):
        if len(sections) == MAX_CAVEATS:
            raise TokenError(Reason.TOO_LARGE, f"The token has more than {MAX_CAVEATS} caveats.")
        section, at = _caveat_section(data, at)
        sections.append(section)
    signature, at = _field(data, at + 1, _SIGNATURE)
    if len(signature) != SIGNATURE_BYTES or at != len(data):
        _malformed("it does not end with its signature")
    if sum(raw.count(b",") for raw, _, _ in sections) > MAX_COMMAS:
        raise TokenError(Reason.TOO_LARGE, f"The token's caveats hold more than {MAX_COMMAS} commas.")
    identity = Identity.decode(identifier)
    caveats = tuple(_caveat(index, *section) for index, section in enumerate(sections))
    return Token(identity, caveats, identifier, signature)


def _caveat_section(data: bytes, at: int) -> tuple[tuple[bytes, bytes | None, bytes | None], int]:
    location = verification_id = None
    if data[at : at + 1] == bytes([_LOCATION]):
        location, at = _field(data, at, _LOCATION)
        _must_be_text(location)
    raw, at = _field(data, at, _IDENTIFIER)
    if data[at : at + 1] == bytes([_VERIFICATION]):
        verification_id, at = _field(data, at, _VERIFICATION)
    elif location is not None:
        _malformed("a first-party caveat has a location")
    return (raw, location, verification_id), _end(data, at)


def _caveat(index: int, raw: bytes, location: bytes | None, verification_id: bytes | None) -> WireCaveat:
    if verification_id is not None:
        return WireCaveat(raw, None, location, verification_id)
    return first_party(raw, index)


def first_party(raw: bytes, index: int | None = None) -> WireCaveat:
    """Decode a first-party caveat; raises `TokenError` unless its bytes are a canonical `["name", ...]`.

    The error names `index`, its position in the token, from 0. Short caveats are cached (4096 of at most 512
    bytes, least recently used out first), as tokens share caveats. The result depends on the bytes alone, so
    no entry ever becomes invalid.
    """
    try:
        return _remembered(raw) if len(raw) <= _MAX_REMEMBERED else _first_party(raw)
    except canonical.NotCanonicalError as error:
        _malformed(f"{'a caveat' if index is None else f'the caveat with index {index}'} {error}")


def _first_party(raw: bytes) -> WireCaveat:
    body = canonical.loads(raw)
    if not body or not isinstance(body[0], str):
        raise canonical.NotCanonicalError('does not begin with a name; write ["name", ...]')
    return WireCaveat(raw, tuple(body))


_remembered = lru_cache(maxsize=4096)(_first_party)


def _field(data: bytes, at: int, field_type: int) -> tuple[bytes, int]:
    # Type, length as a minimal varint of at most two bytes (a token is shorter than 2^14), then the data.
    if data[at : at + 1] != bytes([field_type]):
        _malformed("its fields are not in order")
    header = data[at + 1 : at + 3]
    if not header or header[0] == 0:
        _malformed("a field is empty")
    if header[0] < 0x80:  # noqa: PLR2004 - the continuation bit
        length, start = header[0], at + 2
    elif len(header) == 2 and 0 < header[1] < 0x80:  # noqa: PLR2004
        length, start = header[0] & 0x7F | header[1] << 7, at + 3
    else:
        _malformed("a length is not a minimal varint in bounds")
    if start + length > len(data):
        _malformed("a field reaches past the end")
    return data[start : start + length], start + length


def _must_be_text(location: bytes) -> None:
    # Other libraries hold the location as a string; none of them could attenuate such a token.
    try:
        location.decode()
    except UnicodeDecodeError:
        _malformed("a third-party caveat's location is not UTF-8")


def _end(data: bytes, at: int) -> int:
    if data[at : at + 1] != bytes([_END]):
        _malformed("a section does not end where it should")
    return at + 1


def _checksum(body: str) -> str:
    # CRC-32 (IEEE), big-endian; surrogates cannot be encoded strictly and can never fit either.
    return base64url.encode(zlib.crc32(body.encode("utf-8", "surrogatepass")).to_bytes(4, "big"))


def _malformed(what: str) -> NoReturn:
    raise TokenError(
        Reason.MALFORMED, f"The token is whole but malformed: {what}. Ask its maker for a new one."
    )
