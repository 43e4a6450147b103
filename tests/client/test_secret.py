"""A secret that is shown once: written whole, or undone and the command fails."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from almond_client.cli.output.failures import Failure
from almond_client.cli.output.secret import Delivery


class Undone:
    """Counts how often it was called; raises `error` if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times, self._error = 0, error

    def __call__(self) -> None:
        self.times += 1
        if self._error is not None:
            raise self._error


@contextmanager
def full_disk() -> Iterator[None]:
    """Let standard output be a full disk."""
    with pytest.MonkeyPatch.context() as patch, Path("/dev/full").open("w") as full:
        patch.setattr(sys, "stdout", full)
        yield


def deliver(undo: Callable[[], None] | None, signals: tuple[int, ...] = ()) -> None:
    with Delivery() as delivery:
        for number in signals:
            os.kill(os.getpid(), number)
        delivery.write("alm1_text", token_id="ID", notice="made: id ID", undo=undo)


def failure_of(undo: Callable[[], None] | None, signals: tuple[int, ...] = ()) -> Failure:
    with pytest.raises(Failure) as failed:
        deliver(undo, signals)
    assert "alm1_" not in f"{failed.value.sentence}{failed.value.hint}"
    return failed.value


def test_a_secret_that_is_written_is_not_undone(capsys: pytest.CaptureFixture[str]) -> None:
    undo = Undone()
    deliver(undo)
    assert capsys.readouterr() == ("alm1_text\n", "made: id ID\n")
    assert undo.times == 0


def test_the_id_is_said_before_the_text_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    deliver(Undone())
    assert screen.getvalue() == "made: id ID\nalm1_text\n"


def test_a_secret_that_cannot_be_written_is_undone(capsys: pytest.CaptureFixture[str]) -> None:
    undo = Undone()
    with full_disk():
        failure = failure_of(undo)
    assert (undo.times, failure.exit_code) == (1, 2)
    assert "No space left on device" in failure.sentence
    assert "it was revoked: ID" in failure.sentence
    assert capsys.readouterr().err == "made: id ID\n"


@pytest.mark.parametrize("error", [Failure("no answer", "", 3), ValueError("alm1_text")], ids=repr)
def test_what_may_live_is_said_with_its_id_and_exit_code_3(error: Exception) -> None:
    with full_disk():
        failure = failure_of(Undone(error))
    assert failure.exit_code == 3
    assert failure.hint == "to revoke it: almond tokens revoke ID"


def test_what_the_service_does_not_know_needs_no_undoing() -> None:
    with full_disk():
        assert failure_of(None).exit_code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_text_is_written_undoes_it(
    capsys: pytest.CaptureFixture[str], number: int
) -> None:
    undo = Undone()
    assert failure_of(undo, (number,)).exit_code == 128 + number
    assert capsys.readouterr() == ("", "made: id ID\n")
    assert undo.times == 1


def test_a_second_signal_interrupts_at_once() -> None:
    undo = Undone()
    with pytest.raises(KeyboardInterrupt):
        deliver(undo, (signal.SIGINT, signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert undo.times == 0


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        deliver(Undone(), (signal.SIGHUP,))
    finally:
        signal.signal(signal.SIGHUP, before)
