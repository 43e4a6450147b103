"""Quotes values that a token holds, as a shell would.

No two values read alike once quoted, and none reads as a word of the sentence around it.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN: Final = re.compile(r"[A-Za-z0-9@%+=:./_-]+")
_OWN_WORDS: Final = frozenset({"...", "all", "and", "any", "none", "nothing", "of", "on", "or", "other"})
"""Words of the sentences themselves: `any app` is every app, and `app 'any'` is the one called so."""


def quote(text: str) -> str:
    r"""Return `text` as it is if it is plain, otherwise in quotes: `web`, `'a b'`, `''`, `$'a\u000ab'`."""
    if _PLAIN.fullmatch(text) and text not in _OWN_WORDS:
        return text
    if text.isprintable():
        quoted = shlex.quote(text)
        return quoted if quoted.startswith("'") else f"'{quoted}'"
    return f"$'{''.join(map(_escape, text))}'"


def quote_words(words: Iterable[str]) -> str:
    """Return the words of a command, each quoted."""
    return " ".join(map(quote, words))


def _escape(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the longest \u
