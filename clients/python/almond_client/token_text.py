"""Reads a token as people and programs hand it over: pasted, in a variable, in a file, as a header line.

Knows what may surround a token, not what is inside: `almond_core.wire` decodes that, as strictly as ever.
Of what it reads no error repeats any part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from almond_core import header

MAX_BYTES: Final = 64 * 1024

_HEADER: Final = "authorization"
_SCHEMES: Final = frozenset({"bearer", "macaroon"})
_QUOTES: Final = frozenset({"'", '"'})
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK: Final = "\ufeff"
_START: Final = "a token begins with alm1_"


class TokenTextError(ValueError):
    """A text, or a file, does not contain a token: a `sentence`, and a `hint` what to do (may be empty)."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(f"{sentence}; {hint}" if hint else sentence)
        self.sentence = sentence
        self.hint = hint


def read(given: str | bytes, source: str) -> str:
    """Return the text of a token, or of several with commas, without what surrounds it.

    That is white space, a byte order mark, the encoding UTF-16, `Authorization:`, one word `Bearer` or
    `Macaroon`, and one pair of quotes. Raises `TokenTextError`, which names `source`, if it is empty, JSON,
    no text, or over 65,536 bytes.
    """
    text = _unwrapped(_decoded(given, source))
    if not text:
        raise TokenTextError(f"{source} is empty: there is no token", _START)
    if text.startswith("{"):
        raise TokenTextError(f"{source} is JSON, not a token", "give the value of its field `token`")
    return text


def read_file(path: Path) -> str:
    """Return the text of a token from a file, as `read` does; a file that cannot be read raises it too."""
    try:
        with path.open("rb") as file:
            given = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TokenTextError(
            f"{path}: {error.strerror}", "the file should contain your own token, and nothing else"
        ) from None
    return read(given, str(path))


def for_header(text: str, source: str) -> str:
    """Return a text that `read` returned, if the header `authorization` can carry it as the caller's own.

    Raises `TokenTextError` for a line break or any other character that no token has, and for more than
    8,192 characters, which no service accepts.
    """
    if not (text.isascii() and text.isprintable()):
        raise TokenTextError(
            f"{source} does not contain a token: it has line breaks or characters that no token has",
            f"{_START}, and is one word; copy it again, whole",
        )
    if len(text) > header.MAX_CALLER_HEADER:
        raise TokenTextError(
            f"{source} has more than {header.MAX_CALLER_HEADER:,} characters, which no service accepts"
            " as a caller's token",
            _START,
        )
    return text


def _decoded(given: str | bytes, source: str) -> str:
    try:
        # Python represents bytes of an argument or a variable that are not UTF-8 by lone surrogates.
        raw = given.encode("utf-8", "surrogateescape") if isinstance(given, str) else given
        if len(raw) > MAX_BYTES:
            raise TokenTextError(
                f"{source} has more than {MAX_BYTES:,} bytes: that is no token, and was not sent", _START
            )
        text = raw.decode(_encoding_of(raw))
    except UnicodeError:
        raise _binary(source) from None
    if "\0" in text:
        raise _binary(source)
    return text


def _binary(source: str) -> TokenTextError:
    return TokenTextError(f"{source} is binary: it does not contain a token", _START)


def _encoding_of(raw: bytes) -> str:
    """Return the encoding of a text that may be in UTF-16, as PowerShell's `>` writes it."""
    if raw.startswith(_UTF_16_MARKS):
        return "utf-16"
    # The characters of a token are ASCII: of two bytes in UTF-16 one is zero, always the same one.
    first, second = raw[::2], raw[1::2]
    for zero, other, encoding in ((second, first, "utf-16-le"), (first, second, "utf-16-be")):
        if len(first) == len(second) and zero and not any(zero) and all(other):
            return encoding
    return "utf-8"


def _unwrapped(text: str) -> str:
    text = _stripped(text)
    unquoted = _unquoted(text)
    name, colon, rest = unquoted.partition(":")
    bare = _without_scheme(_stripped(rest) if colon and name.strip().lower() == _HEADER else unquoted)
    return bare if unquoted != text else _unquoted(bare)


def _stripped(text: str) -> str:
    return text.strip().strip(_BYTE_ORDER_MARK).strip()


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]
    return _stripped(text[1:-1]) if is_quoted else text


def _without_scheme(text: str) -> str:
    """Return the text without one scheme word; a text with two is no header, and stays as it is."""
    words = text.split(None, 2)
    if not words or words[0].lower() not in _SCHEMES or (words[1:] and words[1].lower() in _SCHEMES):
        return text
    return _stripped(text[len(words[0]) :])
