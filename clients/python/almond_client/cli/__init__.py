"""The command line `almond`. This module alone must be importable without the extra `cli`."""

from __future__ import annotations

import sys
from typing import NoReturn

_USAGE = 2
_OF_THE_EXTRA = frozenset({"grpc_health", "rich", "typer"})


def main() -> NoReturn:
    """Run the command line on `sys.argv`, and exit: 0 done, 1 failed, 2 wrong usage, 3 cannot know."""
    try:
        from almond_client.cli.program import run  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        print("error: the command line needs an extra: pip install '.[cli]' in a clone", file=sys.stderr)
        sys.exit(_USAGE)
    run()
