"""The table of caveats: maps the name in the JSON to the class that implements it.

A token with a name that is not in the table still decodes; the caveat then denies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from almond_core import canonical
from almond_core.errors import CaveatError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond_core.canonical import Json
    from almond_core.caveats.verdict import Caveat

_TABLE: Final[dict[str, type[Caveat]]] = {}


class UnknownCaveatError(CaveatError):
    """A caveat that this version does not implement."""


def register(*classes: type[Caveat]) -> None:
    """Add classes to the table; only the package itself calls this."""
    _TABLE.update({each.NAME: each for each in classes})


def names() -> frozenset[str]:
    """Return the names of all known caveats."""
    return frozenset(_TABLE)


def parse(body: Json | tuple[Json, ...]) -> Caveat:
    """Parse the array of a caveat; raises `UnknownCaveatError` or another `CaveatError`."""
    if not isinstance(body, list | tuple) or not body or not isinstance(body[0], str):
        raise CaveatError("caveat", 'an array that begins with a name: ["name", ...]')
    name, *arguments = body
    if name not in _TABLE:
        raise UnknownCaveatError("caveat", f"no caveat is called {ascii(name)[:64]} in this version")
    return _TABLE[str(name)].parse(tuple(arguments))


def may_stand_inside(outer: str, inner: Iterable[Caveat]) -> None:
    """Raise `CaveatError` for the first of `inner` that is not allowed inside the caveat called `outer`."""
    for each in inner:
        if outer not in each.INSIDE:
            raise CaveatError(outer, f"{each.NAME} may not stand inside")


def encode(caveat: Caveat) -> bytes:
    """Encode a caveat in its one spelling; raises `CaveatError` if it is longer or deeper than allowed."""
    try:
        return canonical.dumps(caveat.body())
    except canonical.NotCanonicalError as error:
        raise CaveatError(caveat.NAME, f"the caveat {error}") from None
