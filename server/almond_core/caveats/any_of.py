"""The caveat `any_of`: lists of caveats, one of which must permit the request on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats import table
from almond_core.caveats.verdict import NOTHING, NOWHERE, PERMITS, Caveat, Denies, Permits, Verdict
from almond_core.errors import CaveatError, Reason
from almond_core.masks import describe

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`["any_of", [[caveat..]..]]`: all caveats of one list must permit. `NotNamed` counts as a denial.

    Without any list it denies everything.
    """

    NAME: ClassVar[str] = "any_of"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    alternatives: tuple[tuple[Caveat, ...], ...]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `[[caveat..]..]`; raises `CaveatError` for an empty inner list, which would permit all."""
        if len(arguments) != 1 or not isinstance(arguments[0], list):
            raise CaveatError(cls.NAME, "an array of arrays of caveats")
        return cls(tuple(map(_alternative, arguments[0])))

    def body(self) -> list[Json]:
        """Return the JSON array."""
        lists: list[Json] = [[caveat.body() for caveat in each] for each in self.alternatives]
        return [self.NAME, lists]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if one of the lists permits it."""
        refusals: list[str] = []
        for each in self.alternatives:
            verdicts = [caveat.check(access, circumstances) for caveat in each]
            refusal = next((one.sentence for one in verdicts if not isinstance(one, Permits)), None)
            if refusal is None:
                return PERMITS
            refusals.append(refusal)
        why = " ".join(f"({number}) {refusal}" for number, refusal in enumerate(refusals, start=1))
        return Denies(
            Reason.NO_ALTERNATIVE,
            describe(access.actions),
            self.describe(),
            f"The token is for exactly {len(refusals)} things, and this is none of them. {why}".strip(),
        )

    def describe(self) -> str:
        """Describe the alternatives."""
        each = (f"({' and '.join(c.describe() for c in caveats)})" for caveats in self.alternatives)
        return f"only what one of these permits: {' or '.join(each)}" if self.alternatives else NOTHING


def _alternative(bodies: Json) -> tuple[Caveat, ...]:
    if not isinstance(bodies, list) or not bodies:
        raise CaveatError(AnyOf.NAME, "every alternative is an array of at least one caveat")
    caveats = tuple(map(table.parse, bodies))
    table.may_stand_inside(AnyOf.NAME, caveats)
    return caveats
