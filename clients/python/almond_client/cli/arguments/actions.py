"""Reads actions from the command line: letters as in a mask, or words."""

from __future__ import annotations

from typing import Final

from almond_client.cli.output.failures import Failure
from almond_core.errors import FieldError
from almond_core.masks import Mask, parse_actions

_LETTERS: Final = {"read": "r", "write": "w", "create": "c", "delete": "d", "control": "C", "all": "*"}

HELP: Final = "letters (r read, w write, c create, d delete, C control, * all), or words, as read,write"


def mask_of(text: str) -> Mask:
    """Return the mask of `rw`, `read,write` or `*`.

    Raises `Failure` (usage) for anything else, `R` and `x` included.
    """
    mask = 0
    for part in text.split(","):
        word = part.strip()
        try:
            mask |= parse_actions(_LETTERS.get(word, word))
        except FieldError:
            raise Failure.usage(
                f"{word[:32]!a} is not an action",
                "letters: r w c d C, or * for all; words: read, write, create, delete, control, with commas",
            ) from None
    return Mask(mask)
