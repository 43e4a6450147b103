"""Writes a secret that is shown once: whole, or it is undone."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import stat
import sys
from typing import TYPE_CHECKING, Final, NoReturn, Self

from almond_client.cli import edge
from almond_client.cli.exit_codes import CANNOT_KNOW, SIGNALLED, USAGE
from almond_client.cli.output import console
from almond_client.cli.output.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

LOST: Final = "its text could not be written"
"""The reason, for the record, of a revocation that undoes."""
_SIGNALS: Final = [number for number in signal.Signals if number.name in {"SIGINT", "SIGTERM", "SIGHUP"}]


class Delivery:
    """Gets one secret from the service to standard output, for use as `with Delivery() as delivery`.

    The block calls the service, and then `write` once. The first signal that would end the program is held
    back until the end of the block, so that no secret is made and then forgotten; a second one interrupts.
    """

    def __init__(self) -> None:
        self._arrived = 0
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            # A signal that is ignored (by `nohup`, or by a shell for a job in the background) stays ignored.
            if handler not in {signal.SIG_IGN, None}:
                self._before[number] = handler
                signal.signal(number, self._hold)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if error is None and self._arrived:
            raise Failure("interrupted", "", SIGNALLED + self._arrived)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._arrived:
            raise KeyboardInterrupt
        self._arrived = number

    def write(
        self, text: str, *, token_id: str, notice: str, undo: Callable[[], object] | None = None
    ) -> None:
        """Print `notice` on standard error, which contains `token_id`, then `text` on standard output.

        If `text` cannot be written whole, or a signal arrived before it was, calls `undo` (None: the service
        knows nothing of the secret) and raises `Failure`. `undo` may raise anything: the exit code is then
        the one for "cannot know", and the hint says what to run; else that for a refusal, or the signal's.
        """
        console.err().print(console.clean(notice), style="dim")
        why = "" if self._arrived else _write_whole(text)
        if self._arrived or why:
            self._undo(token_id, undo, why)

    def _undo(self, token_id: str, undo: Callable[[], object] | None, why: str) -> NoReturn:
        lost = f"the token could not be written: {why}" if why else "interrupted before the token was written"
        code = SIGNALLED + self._arrived if self._arrived else USAGE
        if undo is None:
            raise Failure(lost, "nothing has to be revoked: run the command again", code)
        try:
            undo()
        except Exception as error:  # noqa: BLE001 - the token may live: the person must learn its id
            raise Failure(
                f"{lost}; it was not revoked either ({_sentence(error)}), and may be valid",
                f"to revoke it: almond tokens revoke {token_id}",
                CANNOT_KNOW,
            ) from None
        raise Failure(f"{lost}; it was revoked: {token_id}", "run the command again for another one", code)


def _write_whole(text: str) -> str:
    """Write a line to standard output; return why that failed, or an empty text."""
    try:
        with edge.reported_output():
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
            _sync()
    except edge.OutputError as lost:
        edge.discard(sys.stdout)
        return lost.why
    return ""


def _sync() -> None:
    # A file system may report a full disk only now. What is no file cannot be synchronised.
    with contextlib.suppress(io.UnsupportedOperation):
        if stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
            os.fsync(sys.stdout.fileno())


def _sentence(error: Exception) -> str:
    # The text of an unexpected error may contain the token.
    return error.sentence if isinstance(error, Failure) else type(error).__name__
