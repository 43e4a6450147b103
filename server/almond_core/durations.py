"""Durations in the notation of Go."""

from __future__ import annotations


def spell(whole_seconds: int) -> str:
    """Format whole seconds as a Go duration without parts that are zero: `48h`, `1h30m`, `45s`."""
    hours, rest = divmod(whole_seconds, 3600)
    minutes, left = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (left, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
