"""Structured logs on standard error: readable text on a terminal, JSON otherwise, and never a token."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

_TOKEN: Final = re.compile(r"alm1_[A-Za-z0-9_-]*")
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(level: str, worker: int | None = None) -> None:
    """Set up logging, once in each process. With `worker`, each line has the worker's number."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            *([] if worker is None else [_with_worker_number(worker)]),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
            without_tokens,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        # Each line is one write, so that lines of several workers do not mix.
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lines(sys.stderr))),
        cache_logger_on_first_use=True,
    )


class _Lines:
    """A stream of log lines. One that cannot be written is lost: a full disk must fail no call."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(line)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _with_worker_number(worker: int) -> Processor:
    def add(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        del logger, method
        return {"worker": worker, **event}

    return add


def without_tokens(logger: WrappedLogger, method: str, line: Any) -> str:
    """Replace everything that looks like a token in a line: the last line of defence, not the first.

    It gets the finished line, so that it also finds a token inside a list or an error's text.
    """
    del logger, method
    return _TOKEN.sub("alm1_(secret)", line)
