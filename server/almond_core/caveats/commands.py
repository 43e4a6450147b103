"""The caveat `commands`: restricts the commands that may run, element by element, without a shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

from almond_core.caveats.verdict import IN_BOTH, NOTHING, PERMITS, Denies, NotNamed, Verdict
from almond_core.errors import CaveatError, Reason
from almond_core.quoting import quote_words

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances

EXACT: Final = "exact"
PREFIX: Final = "prefix"

_MAX_SHOWN: Final = 32


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry: a command with exactly these elements, or (`is_prefix`) one that begins with them."""

    argv: tuple[str, ...]
    is_prefix: bool = False

    def __post_init__(self) -> None:
        """Raise `CaveatError` for an exact command without elements, as no command could match it."""
        if not self.argv and not self.is_prefix:
            raise CaveatError(Commands.NAME, "an exact command has at least one element")

    def covers(self, argv: tuple[str, ...]) -> bool:
        """Return whether it permits the command `argv`."""
        return (argv[: len(self.argv)] if self.is_prefix else argv) == self.argv

    def __str__(self) -> str:
        if not self.argv:
            return "any command"
        return f"{quote_words(self.argv)}{' ...' if self.is_prefix else ''}"


@dataclass(frozen=True, slots=True)
class Commands:
    """`["commands", [[mode, argv..]..]]`: these commands only; `mode` is `exact` or `prefix`.

    The entry `["prefix"]` permits any command; an empty list denies every command.
    """

    NAME: ClassVar[str] = "commands"
    INSIDE: ClassVar[frozenset[str]] = IN_BOTH

    patterns: tuple[Pattern, ...]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `[[mode, argv..]..]`."""
        if len(arguments) != 1 or not isinstance(arguments[0], list):
            raise CaveatError(cls.NAME, "an array of commands")
        return cls(tuple(map(_pattern, arguments[0])))

    def body(self) -> list[Json]:
        """Return the JSON array."""
        entries: list[Json] = [[PREFIX if each.is_prefix else EXACT, *each.argv] for each in self.patterns]
        return [self.NAME, entries]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if one of the patterns covers its command."""
        del circumstances
        allowed = self._allowed()
        if access.command is None:
            return NotNamed(
                "no command",
                allowed,
                f"The token is restricted to running {allowed}; the request must name a command.",
            )
        if any(each.covers(access.command) for each in self.patterns):
            return PERMITS
        wanted = _shown(access.command)
        return Denies(
            Reason.WRONG_OBJECT,
            f"command {wanted}",
            allowed,
            f"The token does not permit to run {wanted}, only: {allowed}. Every word counts.",
        )

    def describe(self) -> str:
        """Describe the commands."""
        return f"only command {self._allowed()}" if self.patterns else NOTHING

    def _allowed(self) -> str:
        return ", or ".join(map(str, self.patterns)) or "none"


def _shown(argv: tuple[str, ...]) -> str:
    """Format the beginning of a command: a request may hold one of a quarter of a megabyte."""
    clipped = tuple(each[:_MAX_SHOWN] for each in argv[:_MAX_SHOWN])
    return quote_words(clipped) + (" ..." if clipped != argv else "")


def _pattern(entry: Json) -> Pattern:
    if isinstance(entry, list) and entry and entry[0] in (EXACT, PREFIX):
        argv = tuple(each for each in entry[1:] if isinstance(each, str))
        if len(argv) == len(entry) - 1:
            return Pattern(argv, entry[0] == PREFIX)
    raise CaveatError(Commands.NAME, 'every entry is ["exact", word..] or ["prefix", word..]')
