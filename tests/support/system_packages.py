"""The Debian packages that the tests need. Run as a program, it installs them if it is root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LIBRARIES: Final = Path("/usr/lib")


def postgres_binary(program: str) -> str:
    """Return the path of a program of the newest PostgreSQL; raises `RuntimeError` if there is none."""
    newest_first = sorted(
        _LIBRARIES.glob("postgresql/*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    path = os.pathsep.join([*map(str, newest_first), os.environ.get("PATH", "")])
    found = shutil.which(program, path=path)
    return found or _missing("postgresql")


def redis_server() -> str:
    """Return the path of Debian's Redis, which speaks TLS; raises `RuntimeError` if there is none."""
    return shutil.which("redis-server") or _missing("redis-server")


def faketime_library() -> str:
    """Return the path of the library that fakes a process's clock; raises `RuntimeError` if there is none."""
    found = sorted(_LIBRARIES.glob("*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else _missing("faketime")


def pgbouncer() -> str:
    """Return the path of PgBouncer; raises `RuntimeError` if there is none."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or _missing("pgbouncer")


_PACKAGES: Final[dict[str, Callable[[], str]]] = {
    "postgresql": lambda: postgres_binary("postgres"),
    "redis-server": redis_server,
    "faketime": faketime_library,
    "pgbouncer": pgbouncer,
}


def _missing(package: str) -> str:
    message = f"Debian's package {package} is not installed, and tests need it: apt-get install {package}"
    raise RuntimeError(message)


def _install() -> None:
    missing = {}
    for package, find in _PACKAGES.items():
        try:
            find()
        except RuntimeError as error:
            missing[package] = str(error)
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit("\n".join(missing.values()))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(["apt-get", "-q", *words], check=True, env=environment)


if __name__ == "__main__":
    _install()
