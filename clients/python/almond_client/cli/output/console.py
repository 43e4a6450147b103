"""Prints to standard output and standard error. Text that others wrote is cleaned, never interpreted.

Colours are off when the stream is not a terminal, or NO_COLOR is set.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console

UNLIMITED: Final = 10_000


def out() -> Console:
    """Return the console of standard output; unless it is a terminal, tables are as wide as they need."""
    return _console(to_error=False)


def err() -> Console:
    """Return the console of standard error."""
    return _console(to_error=True)


def _console(*, to_error: bool) -> Console:
    stream = sys.stderr if to_error else sys.stdout
    width = None if stream.isatty() else UNLIMITED
    # Without markup, a name such as "[red]" is only a name; soft wrapping keeps lines whole for `grep`.
    return Console(stderr=to_error, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    err().print(f"warning: {clean(text)}", style="yellow")


def clean(text: str) -> str:
    """Return `text` with everything unprintable (controls, escapes, direction marks) replaced by `?`."""
    return "".join(character if character.isprintable() else "?" for character in text)


def print_json(value: Any) -> None:
    """Write JSON to standard output, in ASCII, so that no terminal interprets its content."""
    print(json.dumps(value, indent=2))


def rfc3339(seconds: float) -> str:
    """Return unix seconds for programs: RFC 3339 in UTC."""
    return _format(seconds, "%Y-%m-%dT%H:%M:%SZ")


def day_and_time(seconds: float) -> str:
    """Return unix seconds for people, in UTC."""
    return _format(seconds, "%Y-%m-%d %H:%M:%S UTC")


def day_and_minute(seconds: float) -> str:
    """Return unix seconds that are exact to the minute, for people, in UTC."""
    return _format(seconds, "%Y-%m-%d %H:%M UTC")


def _format(seconds: float, pattern: str) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime(pattern)
    except (ValueError, OverflowError, OSError):
        # A forged token can contain the year 10889.
        return f"{seconds:.0f} seconds after 1970"
