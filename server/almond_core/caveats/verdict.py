"""What one caveat can say about one access, and what every caveat class offers.

There is no third way: a caveat permits, denies, or is about something the request does not name.
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
"""Characters of any text in a verdict: a hostile holder chooses what is quoted, and how often."""


def clip(text: str) -> str:
    """Return `text`, cut to `MAX_WORDS` characters."""
    return text if len(text) <= MAX_WORDS else f"{text[: MAX_WORDS - 4]} ..."


@dataclass(frozen=True, slots=True)
class Denies:
    """The caveat denies the access: what was wanted, what it allows, and what a person can do."""

    reason: Reason
    wanted: str
    allowed: str
    sentence: str

    def __post_init__(self) -> None:
        """Cut what is too long to read."""
        _clip_all(self)


@dataclass(frozen=True, slots=True)
class NotNamed:
    """The request does not mention the kind of thing that the caveat is about. Denies at top level."""

    wanted: str
    allowed: str
    sentence: str

    def __post_init__(self) -> None:
        """Cut what is too long to read."""
        _clip_all(self)


def _clip_all(verdict: Denies | NotNamed) -> None:
    for name in ("wanted", "allowed", "sentence"):
        text = getattr(verdict, name)
        if len(text) > MAX_WORDS:
            object.__setattr__(verdict, name, clip(text))


Verdict: TypeAlias = Permits | Denies | NotNamed

NOWHERE: Final[frozenset[str]] = frozenset()
"""For caveats that stand at top level only."""

IN_BOTH: Final = frozenset({"if_present", "any_of"})
"""For caveats about a kind of thing that a request may name."""


def noun(name: str) -> str:
    """Return what a caveat of this name is about: `storage_objects` is about a storage object."""
    return name.removesuffix("s").replace("_", " ")


class Caveat(Protocol):
    """One restriction. Pure: the same access in the same circumstances gets the same verdict."""

    NAME: ClassVar[str]
    """The first element of its JSON array."""

    INSIDE: ClassVar[frozenset[str]]
    """The names of the caveats inside of which it may stand."""

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Read the array's elements after the name; raises `CaveatError` if they have no meaning."""
        ...

    def body(self) -> list[Json]:
        """Return the whole array; `parse` of its tail gives an equal caveat."""
        ...

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Say what it says about the access."""
        ...

    def describe(self) -> str:
        """Say in a few words what it leaves open, for a person who has never seen a caveat."""
        ...


def either(words: Sequence[str]) -> str:
    """Write alternatives for people: `app, machine or volume`; empty for none."""
    *first, last = list(dict.fromkeys(words)) or [""]
    return f"{', '.join(first)} or {last}" if first else last
