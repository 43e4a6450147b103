"""Reads the token that a command works on: from the command line or, better, from standard input."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Final

from almond_client.cli.output.failures import Failure
from almond_core import wire

STDIN: Final = "-"
_MAX_PATH: Final = 256
_MAX_CHARACTERS: Final = 1024 * 1024


def read(given: str) -> str:
    """Return the token's text without surrounding white space; `-` reads standard input.

    Raises `Failure` (usage) if there is none.
    """
    text = (standard_input("Token: ") if given == STDIN else given).strip()
    if not text:
        raise Failure.usage("there is no token", "pipe it in: almond ... -t - < token.file")
    if text.startswith("{"):
        raise Failure.usage("that is JSON, not a token", "pass the value of its field `token`")
    if not looks_secret(text) and len(text) < _MAX_PATH and Path(text).is_file():
        raise Failure.usage("that is the name of a file, not a token", f"pipe it in: -t - < {text}")
    return text


def standard_input(prompt: str) -> str:
    """Return all of standard input; from a terminal one line, which is not shown.

    Raises `Failure` (usage) for more than 1,048,576 characters.
    """
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    text = sys.stdin.read(_MAX_CHARACTERS + 1)
    if len(text) > _MAX_CHARACTERS:
        raise Failure.usage(f"standard input has more than {_MAX_CHARACTERS} characters")
    return text


def looks_secret(text: str) -> bool:
    """Return whether a text that should be something else contains a token, and so must not be printed."""
    return wire.PREFIX in text
