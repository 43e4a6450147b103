"""The exit codes of the command line. A script can rely on them: 1 is an answer, never a failure."""

from __future__ import annotations

from typing import Final

DENIED: Final = 1
"""`almond tokens verify` was answered: the token does not permit the access. Nothing else exits with 1."""
USAGE: Final = 2
"""Wrong usage, or the service refused: trying again will not help."""
CANNOT_KNOW: Final = 3
"""The answer, or whether it was done, is not known: no answer, output that was lost, or a defect."""
SIGNALLED: Final = 128
"""To this the number of the signal is added that ended a command, as shells do."""
