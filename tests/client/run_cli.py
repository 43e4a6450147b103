"""Runs the command line inside the test's process."""

import re

from typer.testing import CliRunner, Result

from almond_client.cli.program import build

TOKEN_LINE = re.compile(r"alm1_[A-Za-z0-9_-]+\n")


def almond(*words: str, stdin: str | bytes = "", address: str = "127.0.0.1:1") -> Result:
    """Run `almond WORDS`; no service answers at the default address."""
    return CliRunner().invoke(
        build(extended=False), list(words), input=stdin, env={"ALMOND_ADDRESS": address}
    )
