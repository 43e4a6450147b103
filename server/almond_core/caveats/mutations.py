"""The caveat `mutations`: restricts the mutations, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats.verdict import IN_BOTH, NOTHING, PERMITS, Denies, NotNamed, Verdict, either
from almond_core.errors import CaveatError, Reason
from almond_core.model import is_id
from almond_core.quoting import quote

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class Mutations:
    """`["mutations", [name..]]`: these mutations only; an empty list denies every mutation."""

    NAME: ClassVar[str] = "mutations"
    INSIDE: ClassVar[frozenset[str]] = IN_BOTH

    names: tuple[str, ...]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `[name..]`."""
        if len(arguments) != 1 or not isinstance(arguments[0], list) or not all(map(is_id, arguments[0])):
            raise CaveatError(cls.NAME, "an array of names")
        return cls(tuple(str(each) for each in arguments[0]))

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, list(self.names)]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if its mutation is listed."""
        del circumstances
        allowed = ", ".join(self.names) or "none"
        if access.mutation is None:
            return NotNamed(
                "no mutation",
                allowed,
                f"The token is restricted to the mutation {allowed}; the request must name one.",
            )
        if access.mutation in self.names:
            return PERMITS
        return Denies(
            Reason.WRONG_OBJECT,
            f"mutation {access.mutation}",
            allowed,
            f"The token does not permit the mutation {access.mutation}, only: {allowed}.",
        )

    def describe(self) -> str:
        """Describe the mutations."""
        return f"only mutation {either([quote(each) for each in self.names])}" if self.names else NOTHING
