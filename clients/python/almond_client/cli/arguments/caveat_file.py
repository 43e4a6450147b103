"""Reads caveats from a file: a JSON list of caveat arrays, as people write it, with any white space."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from almond_client.cli.arguments import standard_input
from almond_client.cli.output.failures import Failure
from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.errors import CaveatError

_MAX_BYTES: Final = 1024 * 1024
_EXAMPLE: Final = 'it should look like [["org","acme","r"],["apps",{"web":"*"}]]'


def read(source: str) -> list[Caveat]:
    """Return the caveats of a file, or of standard input for `-`; at least one.

    Raises `Failure` (usage) that says which caveat is wrong and why.
    """
    name = "standard input" if source == standard_input.NAME else source
    bodies = _json(name, _text(name, source))
    if not isinstance(bodies, list) or not bodies:
        raise Failure.usage(f"{name}: not a list of caveats", _EXAMPLE)
    return [_caveat(f"{name}: caveat {number}", body) for number, body in enumerate(bodies, start=1)]


def _text(name: str, source: str) -> str:
    try:
        raw = _raw(source)
        if len(raw) > _MAX_BYTES:
            raise Failure.usage(f"{name}: over {_MAX_BYTES:,} bytes, and no token can hold so many caveats")
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Failure.usage(f"{name}: not UTF-8") from None
    except OSError as error:
        raise Failure.usage(f"{name}: {error.strerror}") from None


def _raw(source: str) -> bytes:
    if source == standard_input.NAME:
        return standard_input.read("Caveats: ", _MAX_BYTES)
    with Path(source).open("rb") as file:
        return file.read(_MAX_BYTES + 1)


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise Failure.usage(f"{name}, line {error.lineno}: {error.msg}", _EXAMPLE) from None
    except (ValueError, RecursionError) as error:
        raise Failure.usage(f"{name}: {error}", _EXAMPLE) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Python would keep the last of two equal keys and drop the first without an error.
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _caveat(name: str, body: Any) -> Caveat:
    try:
        caveat = caveats.parse(body)
        caveats.encode(caveat)
    except CaveatError as error:
        raise Failure.usage(f"{name}: {error}", "protos/FORMAT.md describes the caveats") from None
    return caveat
