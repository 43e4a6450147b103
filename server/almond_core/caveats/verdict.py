"""The verdicts of a caveat on an access, and the protocol of all caveat classes.

There are three verdicts: a caveat permits, it denies, or the request does not name what the caveat restricts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_core.canonical import Json
    from almond_core.errors import Reason
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class Permits:
    """The caveat permits the access."""


PERMITS: Final = Permits()


MAX_WORDS: Final = 500
"""Maximum characters of a text in a verdict: a hostile holder chooses what is quoted, and how often."""


def clip(text: str) -> str:
    """Return `text`, cut to at most `MAX_WORDS` characters."""
    return text if len(text) <= MAX_WORDS else f"{text[: MAX_WORDS - 4]} ..."


@dataclass(frozen=True, slots=True)
class Denies:
    """The caveat denies the access: what was wanted, what it allows, and a sentence with what to do."""

    reason: Reason
    wanted: str
    allowed: str
    sentence: str

    def __post_init__(self) -> None:
        """Cut texts that are too long to read."""
        _clip_all(self)


@dataclass(frozen=True, slots=True)
class NotNamed:
    """The request does not name an object of the kind that the caveat restricts. At top level this denies."""

    wanted: str
    allowed: str
    sentence: str

    def __post_init__(self) -> None:
        """Cut texts that are too long to read."""
        _clip_all(self)


def _clip_all(verdict: Denies | NotNamed) -> None:
    for name in ("wanted", "allowed", "sentence"):
        text = getattr(verdict, name)
        if len(text) > MAX_WORDS:
            object.__setattr__(verdict, name, clip(text))


Verdict: TypeAlias = Permits | Denies | NotNamed

NOWHERE: Final[frozenset[str]] = frozenset()
"""For caveats that are allowed at top level only."""

IN_BOTH: Final = frozenset({"if_present", "any_of"})
"""For caveats that restrict a kind of object that a request may name."""


NOTHING: Final = "nothing at all"
"""The description of a caveat that denies every request to which it applies."""


def noun(name: str) -> str:
    """Return what a caveat of this name restricts: for `storage_objects`, `storage object`."""
    return name.removesuffix("s").replace("_", " ")


class Caveat(Protocol):
    """One restriction of a token. Pure: the same access in the same circumstances gets the same verdict."""

    NAME: ClassVar[str]
    """The first element of its JSON array."""

    INSIDE: ClassVar[frozenset[str]]
    """The names of the caveats inside which it is allowed."""

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse the array's elements after the name; raises `CaveatError` if they are not valid."""
        ...

    def body(self) -> list[Json]:
        """Return the whole array; `parse` of all but its first element returns an equal caveat."""
        ...

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Return the verdict on the access."""
        ...

    def describe(self) -> str:
        """Describe in a few words what it permits, for a person who has never seen a caveat.

        Caveats with the same description permit the same. Outside quotes there is no semicolon.
        """
        ...


def either(words: Sequence[str]) -> str:
    """Format alternatives for people: `app, machine or volume`; empty for none."""
    return _joined(words, "or")


def both(words: Sequence[str]) -> str:
    """Format a list for people: `step 1, step 2 and step 3`; empty for none."""
    return _joined(words, "and")


def _joined(words: Sequence[str], conjunction: str) -> str:
    *first, last = list(dict.fromkeys(words)) or [""]
    return f"{', '.join(first)} {conjunction} {last}" if first else last
