"""Reads durations: `30d`, `2w`, `1d12h`, and all that Go writes (`48h`, `1h30m`, `1.5h`); in seconds."""

from __future__ import annotations

import re
from typing import Final

from almond_client.cli.output.failures import Failure

EXAMPLES: Final = "write it as 90m, 48h, 30d, 2w or 1d12h; the units are w, d, h, m (minutes) and s"

_SECOND: Final = 1_000_000_000
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # the micro sign
    "\u03bcs": 1_000,  # the Greek letter
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3_600 * _SECOND,
    "d": 86_400 * _SECOND,
    "w": 7 * 86_400 * _SECOND,
}
_OURS: Final = frozenset({"d", "w"})
"""The units that Go has not. With them the units fall, so that 1d12h is not written as 12h1d."""

_UNIT: Final = "|".join(sorted(_NANOSECONDS, key=len, reverse=True))
_TERM: Final = re.compile(rf"(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?P<unit>{_UNIT})")
_MAX_LENGTH: Final = 64
MAX_SECONDS: Final = (2**63 - 1) // _SECOND
"""292 years. Whatever is longer counts as this: all lifetimes are cut to less."""


def seconds(text: str, flag: str = "") -> int:
    """Return the whole seconds of a duration of at least one second, and at most `MAX_SECONDS`.

    Raises `Failure` (usage), which names the `flag` if one is given, for any other text and for a fraction of
    a second.
    """
    named = f"{flag}: " if flag else ""
    total = _nanoseconds(text)
    if total is None:
        raise Failure.usage(f"{named}{text[:_MAX_LENGTH]!a} is not a duration", EXAMPLES)
    if total == 0 or total % _SECOND:
        raise Failure.usage(f"{named}{text} is not a whole number of seconds, at least 1s", EXAMPLES)
    return min(total // _SECOND, MAX_SECONDS)


def _nanoseconds(text: str) -> int | None:
    total, at, units = 0, 0, list[str]()
    while at < len(text) <= _MAX_LENGTH:
        term = _TERM.match(text, at)
        if term is None or not (term["whole"] or term["part"]):
            return None
        part = term["part"] or ""
        value, rest = divmod(int((term["whole"] or "0") + part) * _NANOSECONDS[term["unit"]], 10 ** len(part))
        if rest:
            return None
        total, at = total + value, term.end()
        units.append(term["unit"])
    return total if text and at == len(text) and _is_ordered(units) else None


def _is_ordered(units: list[str]) -> bool:
    sizes = [_NANOSECONDS[unit] for unit in units]
    return _OURS.isdisjoint(units) or sizes == sorted(set(sizes), reverse=True)
