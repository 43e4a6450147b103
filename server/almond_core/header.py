"""The authorization header: `Bearer alm1_...,alm1_...`. Several tokens are alternatives and never combine."""

from __future__ import annotations

from typing import Final

from almond_core.errors import Reason, TokenError

MAX_TOKENS: Final = 8
MAX_CALLER_HEADER: Final = 8 * 1024

_SCHEMES: Final = frozenset({"bearer", "macaroon"})


def split(header: str) -> list[str]:
    """Return the token texts of a header, in order; the scheme is optional and case-insensitive.

    Raises `TokenError` (missing, too large). An empty text between two commas is returned too, and `decide`
    denies it as a missing token.
    """
    text = header.strip(" \t\r\n")
    scheme, space, rest = text.partition(" ")
    if space and scheme.lower() in _SCHEMES:
        text = rest
    if not text or text.lower() in _SCHEMES:
        raise TokenError(Reason.MISSING, "There is no token; send one that begins with alm1_.")
    if text.count(",") >= MAX_TOKENS:
        raise TokenError(Reason.TOO_LARGE, f"There are more than {MAX_TOKENS} tokens.")
    return [each.strip(" \t\r\n") for each in text.split(",")]
