"""Canonical JSON: the one accepted spelling of the JSON inside a token (protos/FORMAT.md, "Canonical JSON").

Handles bytes and plain values, and knows nothing of their meaning. The limits of length and depth are checked
before the JSON parser reads a byte.
"""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn, TypeAlias

Json: TypeAlias = "list[Json] | dict[str, Json] | str | int | None"

MAX_BYTES: Final = 4096
MAX_DEPTH: Final = 6
MAX_INTEGER: Final = 2**53 - 1

# A string. One that never ends matches up to the end of the input, so that scanning stays linear.
_STRING = rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)'
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_KEYS: Final = re.compile(rb"(" + _STRING + rb":)|" + _STRING, re.DOTALL)
_LONG_INTEGERS: Final = re.compile(rb"\d{16,}")
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]"))
_PUNCTUATION_AND_SCALARS: Final = b"[]{},:0123456789null"

# Python escapes exactly what the form escapes: the quote, the backslash, and U+0000-001F in lower-case hex.
_spell: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_parse: Final = json.JSONDecoder().decode


class NotCanonicalError(ValueError):
    """The bytes are not canonical JSON. The message says which rule they break, never what they hold."""


def loads(raw: bytes) -> list[Json]:
    """Decode a canonical JSON array.

    Raises `NotCanonicalError`, and nothing else, for all bytes that `dumps` would not write.
    """
    if len(raw) > MAX_BYTES:
        _refuse(f"longer than {MAX_BYTES} bytes")
    outside_strings = _STRINGS.sub(b"", raw)
    _check_depth(outside_strings)
    _check_scalars(outside_strings)
    if b"{" in outside_strings:
        _check_keys(raw)
    try:
        value: Json = _parse(raw.decode())
        respelled = _spell(value).encode()
    # JSONDecodeError and Unicode*Error are ValueErrors.
    except (ValueError, RecursionError):
        _refuse("not JSON in UTF-8")
    if respelled != raw:
        _refuse("not in canonical form")
    if not isinstance(value, list):
        _refuse("not an array")
    return value


def dumps(value: list[Json]) -> bytes:
    """Encode an array in canonical form; raises `NotCanonicalError` if the form does not allow it."""
    try:
        raw = _spell(value).encode()
    except (ValueError, TypeError, RecursionError):
        _refuse("not encodable")
    loads(raw)
    return raw


def _check_depth(outside_strings: bytes) -> None:
    # Each pass removes exactly the innermost brackets: what remains after six was deeper, or unbalanced.
    brackets = outside_strings.translate(_BRACKETS).translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        _refuse(f"brackets unbalanced or more than {MAX_DEPTH} deep")


def _check_scalars(outside_strings: bytes) -> None:
    # Each true, false, NaN, sign, fraction, exponent and white space has a character outside this set.
    if outside_strings.translate(None, _PUNCTUATION_AND_SCALARS):
        _refuse("something other than arrays, objects, strings, null and integers")
    for digits in _LONG_INTEGERS.findall(outside_strings):
        if len(digits) > len(str(MAX_INTEGER)) or int(digits) > MAX_INTEGER:
            _refuse("an integer above 2^53-1")


def _check_keys(raw: bytes) -> None:
    keys = b"".join(_KEYS.findall(raw))
    escapes = keys.replace(rb"\\", b"").replace(rb"\"", b"")
    if b"\\" in escapes or not (keys.isascii() and keys.decode("ascii").isprintable()):
        _refuse("an object key outside printable ASCII")


def _refuse(rule: str) -> NoReturn:
    raise NotCanonicalError(rule)
