"""Reads moments: days, RFC 3339 times, and durations counted from now; in unix seconds, UTC."""

from __future__ import annotations

import re
import time
from datetime import date
from enum import Enum
from typing import Final

from almond_client.cli.arguments import duration
from almond_client.cli.output.failures import Failure

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r":(?P<second>[0-5][0-9]|60)(?:\.[0-9]+)?"
    # " UTC" is how the commands print times, to be copied.
    r"(?:[Zz]| UTC|(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3]):(?P<minutes>[0-5][0-9]))"
)
_LOCAL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+")
_EPOCH: Final = date(1970, 1, 1)
_DAY_SECONDS: Final = 86_400
_SHOWN: Final = 40

EXAMPLES: Final = "write a day as 2026-12-24 (UTC), or a time as 2026-12-24T18:00:00Z or ...T18:00:00+02:00"


class Direction(Enum):
    """In which direction a duration counts: `30d` is 30 days from now, or 30 days ago."""

    FROM_NOW = 1
    AGO = -1


def moment(flag: str, text: str, *, now: int, direction: Direction) -> int:
    """Return the moment that `flag` names: a time, the beginning of a day, or a duration from `now`.

    Raises `Failure` (usage) that names the flag, for any other text and for a moment before 1970.
    """
    found = _beginning(flag, text) if _DAY.fullmatch(text) else _time(flag, text)
    if found is None:
        found = now + direction.value * _duration(flag, text)
    if found < 0:
        raise Failure.usage(f"{flag}: {text[:_SHOWN]!a} is before 1970", EXAMPLES)
    return found


def end(flag: str, text: str, *, now: int) -> int:
    """Return the end that `flag` names, after `now`: a time, or the end of a day, which is the next 00:00.

    A fraction of a second is dropped. Raises `Failure` (usage) that names the flag.
    """
    found = _beginning(flag, text) + _DAY_SECONDS if _DAY.fullmatch(text) else _time(flag, text)
    if found is None:
        raise Failure.usage(
            f"{flag}: {text[:_SHOWN]!a} is not a day or a time",
            f"{EXAMPLES}; a duration goes with --expiry or --expires-in",
        )
    if found <= now:
        raise Failure.usage(f"{flag}: {text[:_SHOWN]!a} is in the past", "give a later day or time")
    return found


def _duration(flag: str, text: str) -> int:
    try:
        return duration.seconds(text)
    except Failure:
        raise Failure.usage(
            f"{flag}: {text[:_SHOWN]!a} is not a duration, a day or a time",
            f"write a duration as 48h, 30d or 2w; {EXAMPLES}",
        ) from None


def _beginning(flag: str, day: str) -> int:
    try:
        return (date.fromisoformat(day) - _EPOCH).days * _DAY_SECONDS
    except ValueError:
        raise Failure.usage(f"{flag}: there is no day {day}", EXAMPLES) from None


def _time(flag: str, text: str) -> int | None:
    """Return the seconds of an RFC 3339 time, or None if `text` is not one."""
    found = _TIME.fullmatch(text)
    if found is None:
        if _LOCAL.fullmatch(text):
            raise Failure.usage(
                f"{flag}: {text[:_SHOWN]!a} does not say which time zone it is in",
                "write it as 2026-12-24T18:00:00Z for UTC, or with an offset, as 2026-12-24T18:00:00+02:00",
            )
        return None
    of_day = int(found["hour"]) * 3600 + int(found["minute"]) * 60 + int(found["second"])
    total = _beginning(flag, found["day"]) + of_day - _offset(found)
    # A leap second is the last of a month in UTC. In unix time it is the second after it.
    if found["second"] == "60" and time.gmtime(total)[2:6] != (1, 0, 0, 0):
        raise Failure.usage(f"{flag}: {text[:_SHOWN]!a} is not a leap second", EXAMPLES)
    return total


def _offset(found: re.Match[str]) -> int:
    if found["sign"] is None:
        return 0
    seconds = int(found["hours"]) * 3600 + int(found["minutes"]) * 60
    return -seconds if found["sign"] == "-" else seconds
