"""The edge of the process: standard files that are closed or full, and what no command caught.

It needs the standard library alone: what it reports may be that something else cannot be loaded.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

from almond_client.cli.exit_codes import CANNOT_KNOW, SIGNALLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BROKEN_PIPE: Final = SIGNALLED + 13
"""As if SIGPIPE, which Windows does not have, had ended the process."""
_INTERRUPTED: Final = SIGNALLED + signal.SIGINT


class OutputError(Exception):
    """Standard output could not be written. What was to be read there is lost."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause.strerror)
        self.why = "it is closed" if cause.errno == errno.EBADF else cause.strerror or type(cause).__name__
        self.has_no_reader = isinstance(cause, BrokenPipeError)


class _Output(TextIOWrapper):
    """Standard output, whose errors are told from those of other files."""

    def write(self, text: str) -> int:
        with reported_output():
            return super().write(text)

    def flush(self) -> None:
        with reported_output():
            super().flush()


@contextlib.contextmanager
def reported_output() -> Iterator[None]:
    """Raise `OutputError` for an error of the operating system in the block."""
    try:
        yield
    except OSError as error:
        raise OutputError(error) from None


def run(work: Callable[[], int]) -> NoReturn:
    """Do `work`, which returns an exit code, and exit with that.

    A crash exits with 3. So does output that was lost, because nobody can know what it was; if its reader has
    gone, the exit code is 141, as for any program in a pipe.
    """
    _prepare_standard_files()
    code = _code_of(work)
    # What is left cannot be written either. Python would try it once more, and exit with a code of its own.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OutputError, OSError):
            discard(stream)
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
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = _output_of(sys.stdout)


def _output_of(before: TextIOWrapper) -> _Output:
    encoding, by_line, at_once = before.encoding, before.line_buffering, before.write_through
    return _Output(before.detach(), encoding, "backslashreplace", None, by_line, at_once)


def _code_of(work: Callable[[], int]) -> int:
    try:
        code = work()
        sys.stdout.flush()
    except OutputError as lost:
        if lost.has_no_reader:
            return _BROKEN_PIPE
        _say(f"error: standard output could not be written: {lost.why}")
        return CANNOT_KNOW
    except SystemExit as end:
        # No command raises this. Rich and Typer exit with 1 if the reader of standard error has gone.
        return _BROKEN_PIPE if end.code == 1 else CANNOT_KNOW
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - there is no other place above this one
        return _crashed(error)
    return code


def _crashed(error: BaseException) -> int:
    # The error's own text may contain a secret.
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    _say(f"error: a defect in almond: {type(error).__name__} in {where}")
    _say("hint: report that line; with PYTHONDEVMODE=1 there is a traceback, in which there may be secrets")
    if sys.flags.dev_mode:
        traceback.print_exception(error)
    return CANNOT_KNOW


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
