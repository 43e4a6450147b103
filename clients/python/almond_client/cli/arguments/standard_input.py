"""Reads standard input: all of it, or one line from a terminal."""

from __future__ import annotations

import getpass
import sys
from typing import Final

from almond_client.cli.output.failures import Failure

NAME: Final = "-"
"""The argument that stands for standard input."""


def read(prompt: str, max_bytes: int) -> bytes:
    """Return the bytes of standard input; from a terminal one line, which is not shown.

    At most one byte more than `max_bytes` is read, so that the caller sees that there are too many. Raises
    `Failure` (usage) if standard input is closed or cannot be read.
    """
    if sys.stdin is None:
        raise Failure.usage("standard input is closed", "pipe it in: ... < FILE")
    try:
        if sys.stdin.isatty():
            return getpass.getpass(prompt).encode("utf-8", "surrogateescape")
        return sys.stdin.buffer.read(max_bytes + 1)
    except EOFError:
        return b""
    except UnicodeError:
        raise Failure.usage("standard input is not text") from None
    except OSError as error:
        raise Failure.usage(f"standard input: {error.strerror}", "pipe it in: ... < FILE") from None
