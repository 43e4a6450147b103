"""Reads the project file `almond.toml`: the current org and app, for commands that are given neither.

It is part of a repository, which was perhaps cloned and never read. So it can hold two ids and nothing else:
above all no address, which would decide which service gets the caller's token.
"""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from almond_client.cli.arguments.token_text import looks_secret
from almond_client.cli.output.failures import Failure
from almond_core.errors import FieldError
from almond_core.model import checked_id

NAME: Final = "almond.toml"
MAX_BYTES: Final = 64 * 1024

_KEYS: Final = ("org", "app")
_EXAMPLE: Final = 'it should have lines such as org = "acme" and app = "web"'
_SERVICE: Final = frozenset(
    {"addr", "address", "endpoint", "host", "port", "server", "service", "uri", "url"}
)


@dataclass(frozen=True, slots=True)
class Project:
    """The ids that a project file names, each perhaps None, and where that file is."""

    path: Path
    org: str | None = None
    app: str | None = None

    def __str__(self) -> str:
        named = [f"{key} {value}" for key in _KEYS if (value := getattr(self, key)) is not None]
        return f"{self.path}: {', '.join(named) or 'it names neither an org nor an app'}"


def find(directory: Path, home: Path | None) -> Path | None:
    """Return the path of the project file of a directory: its own, or that of the nearest parent.

    The search ends with a directory that has `.git`, the project's root, and with the home directory. Of
    parents it leaves out the home directory and the file system's root, and always a directory that all users
    share, as /tmp is: another user's file would decide.
    """
    for place in (directory, *directory.parents):
        is_outside = place != directory and place in {home, Path(place.anchor)}
        if is_outside or _is_shared(place):
            return None
        if os.path.lexists(place / NAME):
            return place / NAME
        if place == home or os.path.lexists(place / ".git"):
            return None
    return None


def _is_shared(directory: Path) -> bool:
    """Return whether a directory has the sticky bit, as those have in which all users may make files."""
    try:
        return bool(directory.stat().st_mode & stat.S_ISVTX)
    except OSError:
        return True


def read(path: Path) -> Project:
    """Return what a project file names.

    Raises `Failure` (usage) for a file that cannot be read, is not TOML, or holds anything but two ids.
    """
    values = _values(path, _content(path))
    for key in values:
        _check_key(path, key)
    return Project(path, **{key: _id(path, key, value) for key, value in values.items()})


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Failure.usage(f"{path} is not a file", f"move it away; {_EXAMPLE}")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Failure.usage(f"{path}: {error.strerror}", "give --org and --app, or repair the file") from None
    if len(content) > MAX_BYTES:
        raise Failure.usage(f"{path} has more than {MAX_BYTES:,} bytes", _EXAMPLE)
    return content


def _values(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Failure.usage(f"{path} is not UTF-8", "save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        why = "" if looks_secret(str(error)) else f": {error}"
        raise Failure.usage(f"{path} is not TOML{why}", _EXAMPLE) from None


def _check_key(path: Path, key: str) -> None:
    words = set(key.lower().replace("-", "_").split("_"))
    if key in _KEYS:
        return
    if words & _SERVICE:
        raise Failure.usage(
            f"{path} must not say where the service is: a repository that you clone would decide which"
            " service gets your token",
            "remove that line; --address or ALMOND_ADDRESS names the service",
        )
    if words & {"token", "secret"} or looks_secret(key):
        raise _token_inside(path)
    near = get_close_matches(key, _KEYS, 1, 0.4)
    meant = f"did you mean {near[0]}?" if near else f"it knows {' and '.join(_KEYS)}, and nothing else"
    raise Failure.usage(f"{path}: {key[:32]!a} is no key of this file: {meant}", _EXAMPLE)


def _id(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise Failure.usage(f"{path}: {key}: not a string in quotes", _EXAMPLE)
    if looks_secret(value):
        raise _token_inside(path)
    try:
        return checked_id(key, value)
    except FieldError as error:
        raise Failure.usage(f"{path}: {error}", _EXAMPLE) from None


def _token_inside(path: Path) -> Failure:
    return Failure.usage(
        f"{path} must not hold a token: everybody who has the repository would have it",
        "remove that line, and revoke the token; --api-token-file or ALMOND_API_TOKEN gives yours",
    )
