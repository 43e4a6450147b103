"""The caveat `attribute`: restricts a fact that the calling service states, such as the HTTP method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats.verdict import NOTHING, NOWHERE, PERMITS, Denies, Verdict, either
from almond_core.errors import CaveatError, Reason
from almond_core.model import is_id
from almond_core.quoting import quote

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class Attribute:
    """`["attribute", key, [value..]]`: the attribute must have one of the values; a missing one denies."""

    NAME: ClassVar[str] = "attribute"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    key: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `key, [value..]`."""
        if len(arguments) != 2 or not is_id(arguments[0]) or not isinstance(arguments[1], list):  # noqa: PLR2004
            raise CaveatError(cls.NAME, "a key, which is an id, and an array of values")
        values = tuple(each for each in arguments[1] if isinstance(each, str))
        if len(values) != len(arguments[1]):
            raise CaveatError(cls.NAME, "every value is a string")
        return cls(str(arguments[0]), values)

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, self.key, list(self.values)]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if the attribute has one of the values."""
        del circumstances
        value = access.attributes.get(self.key)
        if value is not None and value in self.values:
            return PERMITS
        wanted = f"no {self.key}" if value is None else f"{self.key} {value}"
        return Denies(
            Reason.ATTRIBUTE,
            wanted,
            self._allowed(),
            f"The token is good only where {self.key} is {self._allowed()}; the request has {wanted}.",
        )

    def describe(self) -> str:
        """Describe the attribute and its values."""
        return f"only where {quote(self.key)} is {self._allowed()}" if self.values else NOTHING

    def _allowed(self) -> str:
        return either([quote(each) for each in self.values]) or NOTHING
