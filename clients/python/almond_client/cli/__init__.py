"""The command line `almond`. This module alone must be importable without the extra `cli`."""

from __future__ import annotations

import sys
from typing import NoReturn

from almond_client.cli import edge
from almond_client.cli.exit_codes import USAGE

_OF_THE_EXTRA = frozenset({"grpc_health", "rich", "typer"})


def main() -> NoReturn:
    """Run the command line on `sys.argv`, and exit with one of `exit_codes`."""
    edge.run(_run)


def _run() -> int:
    try:
        from almond_client.cli.program import run  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        print("error: the command line needs an extra: pip install '.[cli]' in a clone", file=sys.stderr)
        return USAGE
    return run()
