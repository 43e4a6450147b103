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
# What the form does not allow outside strings, and what to write instead. The first match counts.
_FOREIGN: Final = (
    (rb"[ \t\r\n]", 'white space outside strings; leave it out (in Python: separators=(",", ":"))'),
    (rb"true|false", "true or false; write an array, object, string, null or integer"),
    (rb"'", "a single quote outside strings; put strings in double quotes"),
    (rb"\d[.eE]", "a number with a fraction or an exponent; write an integer, 1000 for 1e3 and 1 for 1.0"),
    (rb"-\d", "a negative number; write an integer from 0 to 2^53-1"),
    (rb"", "something other than arrays, objects, strings, null and integers"),
)
_LEADING_ZERO: Final = re.compile(rb"(?<!\d)0\d")
_ESCAPE: Final = re.compile(r"\\(?:u....|.)", re.DOTALL)

# Python escapes exactly what the form escapes: the quote, the backslash, and U+0000-001F in lower-case hex.
_spell: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_CANONICAL_ESCAPES: Final = frozenset(_spell(chr(code))[1:-1] for code in (*range(0x20), ord('"'), ord("\\")))
_parse: Final = json.JSONDecoder().decode


class NotCanonicalError(ValueError):
    """The bytes are not canonical JSON.

    The message is a predicate ("has white space outside strings; leave it out"): it says which rule the bytes
    break and what to change, never what they hold.
    """


def loads(raw: bytes) -> list[Json]:
    """Decode a canonical JSON array.

    Raises `NotCanonicalError`, and nothing else, for all bytes that `dumps` would not write.
    """
    if len(raw) > MAX_BYTES:
        _refuse(f"is longer than {MAX_BYTES:,} bytes")
    outside_strings = _STRINGS.sub(b"", raw)
    _check_depth(outside_strings)
    _check_scalars(outside_strings)
    if b"{" in outside_strings:
        _check_keys(raw)
    try:
        text = raw.decode()
        value: Json = _parse(text)
        respelled = _spell(value).encode()
    except UnicodeDecodeError:
        _refuse("is not in UTF-8")
    except UnicodeEncodeError:
        _refuse("has half of a surrogate pair; write whole characters")
    # JSONDecodeError is a ValueError.
    except (ValueError, RecursionError) as error:
        _refuse(_why_no_json(error, outside_strings))
    if respelled != raw:
        _refuse(_why_respelled(text))
    if not isinstance(value, list):
        _refuse('is not an array; write ["name", ...]')
    return value


def dumps(value: list[Json]) -> bytes:
    """Encode an array in canonical form; raises `NotCanonicalError` if the form does not allow it."""
    try:
        raw = _spell(value).encode()
    except (ValueError, TypeError, RecursionError):
        _refuse("has a value that JSON in UTF-8 cannot hold")
    loads(raw)
    return raw


def _check_depth(outside_strings: bytes) -> None:
    # Each pass removes exactly the innermost brackets: what remains after six was deeper, or unbalanced.
    brackets = outside_strings.translate(_BRACKETS).translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        _refuse(f"has brackets that are not balanced, or more than {MAX_DEPTH} deep")


def _check_scalars(outside_strings: bytes) -> None:
    # Each true, false, NaN, sign, fraction, exponent and white space has a character outside this set.
    if outside_strings.translate(None, _PUNCTUATION_AND_SCALARS):
        _refuse(f"has {next(words for pattern, words in _FOREIGN if re.search(pattern, outside_strings))}")
    for digits in _LONG_INTEGERS.findall(outside_strings):
        if len(digits) > len(str(MAX_INTEGER)) or int(digits) > MAX_INTEGER:
            _refuse("has an integer above 2^53-1")


def _check_keys(raw: bytes) -> None:
    keys = b"".join(_KEYS.findall(raw))
    escapes = keys.replace(rb"\\", b"").replace(rb"\"", b"")
    if b"\\" in escapes:
        _refuse(r"has an escape in an object key; only \" and \\ are escaped there")
    if not (keys.isascii() and keys.decode("ascii").isprintable()):
        _refuse("has an object key outside printable ASCII")


def _why_no_json(error: Exception, outside_strings: bytes) -> str:
    words = str(error)
    if words.startswith("Invalid control character"):
        return r"has a raw control character in a string; write \n, \t or \u00xx"
    if words.startswith("Invalid \\"):
        return r"has an escape that JSON does not know; write a backslash as \\"
    if _LEADING_ZERO.search(outside_strings):
        return "has an integer with a leading zero; leave the zero out"
    return "is not JSON"


def _why_respelled(text: str) -> str:
    """Return how JSON of allowed values differs from its canonical form: in its keys, or in its escapes."""
    lists_of_keys: list[list[str]] = []

    def collect(pairs: list[tuple[str, Json]]) -> None:
        lists_of_keys.append([key for key, _ in pairs])

    json.loads(text, object_pairs_hook=collect)
    if any(len(set(keys)) != len(keys) for keys in lists_of_keys):
        return "has an object key twice; give each key once"
    if any(sorted(keys) != keys for keys in lists_of_keys):
        return "has object keys out of order; sort them bytewise (in Python: sort_keys=True)"
    wrong = set(_ESCAPE.findall(text)) - _CANONICAL_ESCAPES
    if r"\/" in wrong:
        return r"has an escaped slash; write / instead of \/"
    if any(escape.startswith((r"\u000", r"\u001")) for escape in wrong):
        return r"has a control character in another spelling; write \b \t \n \f \r, or \u00xx in lower case"
    return r"has an escape \uxxxx that is not needed; write the character itself, or \" or \\"


def _refuse(rule: str) -> NoReturn:
    raise NotCanonicalError(rule)
