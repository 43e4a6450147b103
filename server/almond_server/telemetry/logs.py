"""Structured logs on standard error: for people on a terminal, JSON otherwise. Never a secret."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Final

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
    """Set up logging once a process; each line of a worker has its number."""
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
        # A line is one write: those of several workers would get into each other.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _with_worker_number(worker: int) -> Processor:
    def add(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        del logger, method
        return {"worker": worker, **event}

    return add


def without_tokens(logger: WrappedLogger, method: str, line: Any) -> str:
    """Blot out anything that looks like a token: the last line of defence, not the first.

    It sees the finished line, so that a token inside a list or an error's text does not slip through.
    """
    del logger, method
    return _TOKEN.sub("alm1_(secret)", line)
