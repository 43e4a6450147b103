"""The edge of the process: standard files that are closed or full, and what no command caught.

It needs the standard library alone: what it reports may be that something else cannot be loaded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

from almond_client.cli.exit_codes import CANNOT_KNOW, DENIED, SIGNALLED

if TYPE_CHECKING:
    from collections.abc import Callable

_BROKEN_PIPE: Final = SIGNALLED + 13
"""As if SIGPIPE, which Windows does not have, had ended the process."""
_INTERRUPTED: Final = SIGNALLED + signal.SIGINT


def run(work: Callable[[], int]) -> NoReturn:
    """Do `work`, which returns an exit code, and exit with that.

    A crash exits with 3. So does output that was lost, because nobody can know what it was; if its reader has
    gone, the exit code is 141, as for any program in a pipe.
    """
    _prepare_standard_files()
    code = _code_of(work)
    try:
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)
    sys.exit(code)


def discard(stream: TextIO) -> None:
    """Drop what a stream still holds back and all that follows: Python would write it when it exits."""
    with contextlib.suppress(OSError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def _prepare_standard_files() -> None:
    # Else the next file or socket would get the number of a closed one, and everything that is written there.
    # A closed input is empty, writing to a closed output fails, and errors that nobody wants go nowhere.
    for name, mode, flags in (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8"))
    # Text of any encoding passes; what reads it looks at it (`checked`).
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)


def _code_of(work: Callable[[], int]) -> int:
    try:
        code = work()
    except SystemExit as end:
        # No command raises this. Rich and Typer exit with 1 if the reader of a pipe has gone.
        return _BROKEN_PIPE if end.code == 1 else CANNOT_KNOW
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - there is no other place above this one
        # Output that could not be written is still held back, and fails again.
        lost = _write_rest() if isinstance(error, OSError) else 0
        return lost or _crashed(error)
    lost = _write_rest()
    return lost if lost and code in {0, DENIED} else code


def _write_rest() -> int:
    """Write what standard output still holds back; return the exit code if that fails, else 0."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
        return _BROKEN_PIPE
    except OSError as error:
        discard(sys.stdout)
        _say(f"error: standard output could not be written: {error.strerror}")
        return CANNOT_KNOW
    return 0


def _crashed(error: BaseException) -> int:
    # The error's own text may contain a secret.
    last = traceback.extract_tb(error.__traceback__)[-1]
    _say(
        f"error: a defect in almond: {type(error).__name__} in {Path(last.filename).name}, line {last.lineno}"
    )
    _say("hint: report that line; with PYTHONDEVMODE=1 there is a traceback, in which there may be secrets")
    if sys.flags.dev_mode:
        traceback.print_exception(error)
    return CANNOT_KNOW


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
