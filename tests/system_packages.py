"""Programs that tests need and no wheel brings: where they are, and which Debian package has them.

Run as a program it installs what is missing, where it may.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

_PACKAGES: Final = {"postgres": "postgresql", "initdb": "postgresql", "redis-server": "redis-server"}
_POSTGRESQL: Final = Path("/usr/lib/postgresql")


def binary(program: str) -> str:
    """Return where a program is; raises `RuntimeError` that says how to get it."""
    newest_first = sorted(_POSTGRESQL.glob("*/bin"), key=lambda path: -float(path.parent.name))
    found = shutil.which(program, path=os.pathsep.join([*map(str, newest_first), os.environ.get("PATH", "")]))
    if found is None:
        message = f"{program} is not installed, and tests need it: apt-get install {_PACKAGES[program]}"
        raise RuntimeError(message)
    return found


def _install() -> None:
    missing, how = set(), ""
    for program, package in _PACKAGES.items():
        try:
            binary(program)
        except RuntimeError as error:
            missing.add(package)
            how = str(error)
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(how)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *sorted(missing)]):
        subprocess.run(["apt-get", "-q", *words], check=True, env=environment)


if __name__ == "__main__":
    _install()
