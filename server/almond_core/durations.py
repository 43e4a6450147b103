"""Formats durations for people, in units that the command line reads too."""

from __future__ import annotations

from typing import Final

_DAY: Final = 86_400
_MIN_DAYS: Final = 3
"""Below it hours are written, as people do: 24h, 48h."""


def spell(whole_seconds: int) -> str:
    """Format whole seconds without parts that are zero: `90 days`, `3d12h`, `48h`, `1h30m`, `45s`."""
    days, rest = divmod(whole_seconds, _DAY)
    if days < _MIN_DAYS:
        days, rest = 0, whole_seconds
    elif not rest:
        return f"{days} days"
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (left, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
