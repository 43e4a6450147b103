"""The caveat `valid`: restricts the time at which a token may be used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats.verdict import NOWHERE, PERMITS, Denies, Verdict
from almond_core.errors import CaveatError, Reason

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances

END_OF_TIME = 253_402_300_800
"""The first second of the year 10000, in unix time; calendar libraries end before it."""


@dataclass(frozen=True, slots=True)
class Valid:
    """`["valid", not_before, not_after]`: unix seconds or null. At `not_after` the token has expired."""

    NAME: ClassVar[str] = "valid"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    not_before: int | None
    not_after: int | None

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `not_before, not_after`."""
        if len(arguments) != 2:  # noqa: PLR2004
            raise CaveatError(cls.NAME, "two times in unix seconds, or null")
        return cls(_time(arguments[0]), _time(arguments[1]))

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, self.not_before, self.not_after]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit `not_before - leeway <= now < not_after`."""
        del access
        now = circumstances.now
        if self.not_before is not None and now < self.not_before - circumstances.leeway:
            return Denies(
                Reason.NOT_YET_VALID,
                f"now, {print_time(now)}",
                f"from {print_time(self.not_before)}",
                f"The token is not valid before {print_time(self.not_before)}; wait, or check the clocks.",
            )
        if self.not_after is not None and now >= self.not_after:
            return Denies(
                Reason.EXPIRED,
                f"now, {print_time(now)}",
                f"before {print_time(self.not_after)}",
                f"The token expired at {print_time(self.not_after)}; get a new one.",
            )
        return PERMITS

    def describe(self) -> str:
        """Describe the time span."""
        start = (
            f"from {print_time(self.not_before)} (less the service's leeway) "
            if self.not_before is not None
            else ""
        )
        end = f"until {print_time(self.not_after)}" if self.not_after is not None else ""
        return f"{start}{end}".strip() or "at any time"


def print_time(seconds: int) -> str:
    """Format unix seconds as a date and time in UTC, for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _time(value: Json) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or not 0 <= value < END_OF_TIME:
        raise CaveatError("valid", "a time in unix seconds before the year 10000, or null")
    return value
