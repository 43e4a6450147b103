"""Runs the command line inside the test's process."""

import io
import re
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from almond_client.cli import program

TOKEN_LINE = re.compile(r"alm1_[A-Za-z0-9_-]+\n")
NOWHERE = "127.0.0.1:1"


@dataclass(frozen=True)
class Ran:
    """The exit code of a command, and what it said on standard error."""

    code: int
    stderr: str


def almond(*words: str, stdin: str = "", address: str = NOWHERE) -> Result:
    """Run `almond WORDS`; no service answers at the default address."""
    return CliRunner().invoke(
        program.build(extended=False), list(words), input=stdin, env={"ALMOND_ADDRESS": address}
    )


def almond_to_full_disk(*words: str, stdin: str = "", address: str = NOWHERE) -> Ran:
    """Run `almond WORDS > /dev/full`."""
    with pytest.MonkeyPatch.context() as patch, Path("/dev/full").open("w") as full:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        patch.setattr(sys, "stdout", full)
        patch.setenv("ALMOND_ADDRESS", address)
        with redirect_stderr(io.StringIO()) as errors:
            code = program.run(list(words))
    return Ran(code, errors.getvalue())
