"""Reads the token that a command works on: from the command line or, better, from standard input."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from almond_client import token_text
from almond_client.cli.arguments import standard_input
from almond_client.cli.output.failures import Failure
from almond_client.token_text import MAX_BYTES, TokenTextError
from almond_core import wire

_MAX_PATH: Final = 256


def read(given: str) -> str:
    """Return the text of the token; `-` reads standard input. Raises `Failure` (usage) if there is none."""
    if given == standard_input.NAME:
        return _read(standard_input.read("Token: ", MAX_BYTES), "standard input")
    if not looks_secret(given) and len(given) < _MAX_PATH and Path(given).is_file():
        raise Failure.usage("that is the name of a file, not a token", f"pipe it in: -t - < {given}")
    return _read(given, "--token")


def _read(given: str | bytes, source: str) -> str:
    try:
        return token_text.read(given, source)
    except TokenTextError as error:
        raise Failure.usage(error.sentence, error.hint) from None


def looks_secret(text: str) -> bool:
    """Return whether a text that should be something else contains a token, and so must not be printed."""
    return wire.PREFIX in text
