"""Actions and masks of actions: read, write, create, delete and control (`rwcdC`).

A mask is an int with one bit for each letter, so that `covers` is one operation.
"""

from __future__ import annotations

from typing import Final, NewType

from almond_core.errors import CaveatError, FieldError

Mask = NewType("Mask", int)

LETTERS: Final = "rwcdC"
ALL: Final = Mask((1 << len(LETTERS)) - 1)

_BITS: Final = {letter: 1 << index for index, letter in enumerate(LETTERS)}


def parse_mask(text: object) -> Mask:
    """Parse a caveat's mask: letters of `rwcdC` in that order, `*` for all, empty for none.

    Raises `CaveatError` for anything else; an unknown letter is never ignored.
    """
    if text == "*":
        return ALL
    if not isinstance(text, str) or text != "".join(letter for letter in LETTERS if letter in text):
        raise CaveatError("mask", f'letters of "{LETTERS}" in that order, "*" for all or "" for none')
    return Mask(sum(_BITS[letter] for letter in text))


def parse_actions(text: str) -> Mask:
    """Parse a request's actions, one letter or more in any order; raises `FieldError` otherwise."""
    if text == "*":
        return ALL
    if not text or not set(text) <= set(LETTERS) or len(set(text)) != len(text):
        raise FieldError("actions", f'one or more of the letters "{LETTERS}", each once, or "*" for all')
    return Mask(sum(_BITS[letter] for letter in text))


def covers(mask: Mask, wanted: Mask) -> bool:
    """Return whether every wanted action is in the mask."""
    return wanted & ~mask == 0


def spell(mask: Mask) -> str:
    """Format a mask in its one spelling, as `parse_mask` reads it."""
    return "*" if mask == ALL else "".join(letter for letter in LETTERS if mask & _BITS[letter])


def describe(mask: Mask) -> str:
    """Describe a mask in words: `read, write`."""
    words = {"r": "read", "w": "write", "c": "create", "d": "delete", "C": "control"}
    if mask == ALL:
        return "all actions"
    return ", ".join(words[letter] for letter in spell(mask)) or "no actions"
