"""Prints to standard output and standard error. Text that others wrote is cleaned, never interpreted.

The layout depends on one thing: whether the stream is a terminal. Variables such as FORCE_COLOR and NO_COLOR
only switch colours on or off.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

from rich.console import Console

UNLIMITED: Final = 1_000_000


_OFF: Final = ("", "0")
_UNITS: Final = (("y", 365 * 24 * 3600), ("d", 24 * 3600), ("h", 3600), ("m", 60))


class _ErrorConsole(Console):
    """A console of standard error, which writes what it can: there is nowhere to report that it cannot."""

    def print(self, *objects: Any, **options: Any) -> None:
        with contextlib.suppress(OSError):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - Rich calls this where it handles the error, and would exit with 1


def out() -> Console:
    """Return the console of standard output; unless it is a terminal, tables are as wide as they need."""
    return _console(to_error=False)


def err() -> Console:
    """Return the console of standard error."""
    return _console(to_error=True)


def is_terminal() -> bool:
    """Return whether standard output is a terminal: whether a person reads it, and not a program."""
    return sys.stdout.isatty()


def _console(*, to_error: bool) -> Console:
    is_terminal = (sys.stderr if to_error else sys.stdout).isatty()
    # Left to itself, rich takes a pipe for a terminal if FORCE_COLOR or TTY_COMPATIBLE is set, even to 0, and
    # a terminal whose TERM is dumb for one of 80 columns.
    kind = _ErrorConsole if to_error else Console
    return kind(
        stderr=to_error,
        force_terminal=False,
        force_jupyter=False,
        color_system=_colors(is_terminal=is_terminal),
        width=shutil.get_terminal_size().columns if is_terminal else UNLIMITED,
        # Without markup, a name such as "[red]" is only a name; soft wrapping keeps lines whole for `grep`.
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def _colors(*, is_terminal: bool) -> Literal["standard"] | None:
    variables = os.environ
    if variables.get("NO_COLOR"):
        return None
    if any(variables.get(name, "") not in _OFF for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return "standard"
    is_dumb = variables.get("TERM", "").lower() in {"dumb", "unknown"}
    is_off = "0" in (variables.get("CLICOLOR"), variables.get("FORCE_COLOR"))
    return "standard" if is_terminal and not is_dumb and not is_off else None


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


def relative(seconds: float, now: float) -> str:
    """Return how far a time is from now, in one unit and rounded towards now: `3d ago`, `in 5h`, `now`."""
    size = int(abs(seconds - now))
    span = next((f"{size // unit}{name}" for name, unit in _UNITS if size >= 2 * unit), f"{size}s")
    if not size:
        return "now"
    return f"in {span}" if seconds > now else f"{span} ago"


def _format(seconds: float, pattern: str) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime(pattern)
    except (ValueError, OverflowError, OSError):
        # A forged token can contain the year 10889.
        return f"{seconds:.0f} seconds after 1970"
