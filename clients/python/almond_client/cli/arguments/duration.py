"""Reads durations as Go writes them: `48h`, `1h30m`, `1.5h`. Exact, in whole seconds."""

from __future__ import annotations

import re
from typing import Final

from almond_client.cli.output.failures import Failure

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # the micro sign
    "\u03bcs": 1_000,  # the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3_600 * 1_000_000_000,
}
_UNIT: Final = "|".join(sorted(_NANOSECONDS, key=len, reverse=True))
_TERM: Final = re.compile(rf"(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?P<unit>{_UNIT})")
_MAX_LENGTH: Final = 64
_MAX_NANOSECONDS: Final = 2**63 - 1
_SECOND: Final = _NANOSECONDS["s"]


def seconds(text: str) -> int:
    """Return the whole seconds of a Go duration of at least one second.

    Raises `Failure` (usage) for any other text, for a fraction of a second, and above Go's own 292 years.
    """
    total = _nanoseconds(text)
    if total is None:
        raise Failure.usage(
            f"{text[:_MAX_LENGTH]!a} is not a duration",
            "write it as 30m, 48h or 1h30m; the units are h, m and s (a week is 168h)",
        )
    if total % _SECOND or not 0 < total <= _MAX_NANOSECONDS:
        raise Failure.usage(
            f"the duration {text} is not a whole number of seconds from 1s to 292 years",
            "write it as 30m, 48h or 1h30m",
        )
    return total // _SECOND


def _nanoseconds(text: str) -> int | None:
    total, at = 0, 0
    while at < len(text) <= _MAX_LENGTH:
        term = _TERM.match(text, at)
        if term is None or not (term["whole"] or term["part"]):
            return None
        part = term["part"] or ""
        value, rest = divmod(int((term["whole"] or "0") + part) * _NANOSECONDS[term["unit"]], 10 ** len(part))
        if rest:
            return None
        total, at = total + value, term.end()
    return total if text and at == len(text) else None
