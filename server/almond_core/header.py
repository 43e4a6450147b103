"""The authorization header: `Bearer alm1_...,alm1_...`. Several tokens are alternatives and never combine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from almond_core.errors import Reason, TokenError

MAX_TOKENS: Final = 8
MAX_CALLER_HEADER: Final = 8 * 1024

_SCHEMES: Final = frozenset({"bearer", "macaroon"})


@dataclass(frozen=True, slots=True)
class Presented:
    """The token texts of one header, in order; or, in their place, why the header holds none."""

    texts: tuple[str, ...] = field(repr=False)
    refusal: TokenError | None = field(default=None, compare=False)


def present(header: str) -> Presented:
    """Split a header into its token texts; the scheme is optional and case-insensitive.

    Never raises: a header without a token, or with too many, is refused in `refusal`. An empty text
    between two commas is returned too, and `decide` denies it as a missing token.
    """
    text = header.strip(" \t\r\n")
    scheme, space, rest = text.partition(" ")
    if space and scheme.lower() in _SCHEMES:
        text = rest
    if not text or text.lower() in _SCHEMES:
        return _refused(Reason.MISSING, "There is no token; send one that begins with alm1_.")
    if text.count(",") >= MAX_TOKENS:
        return _refused(Reason.TOO_LARGE, f"There are more than {MAX_TOKENS} tokens.")
    return Presented(tuple(each.strip(" \t\r\n") for each in text.split(",")))


def _refused(reason: Reason, sentence: str) -> Presented:
    return Presented((), TokenError(reason, sentence))
